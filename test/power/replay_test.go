package power

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// record numbers the lines of a synthetic record, as one thread unless a line
// names its own.
func record(lines ...string) string {
	for i, l := range lines {
		if l[0] < '0' || l[0] > '9' {
			lines[i] = "100 " + l
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

const (
	createA  = `openat(AT_FDCWD</d>, "a", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3</d/a>`
	writeA   = `pwrite64(3</d/a>, "hello", 5, 0) = 5`
	syncA    = `fdatasync(3</d/a>) = 0`
	openDir  = `openat(AT_FDCWD</d>, "/d", O_RDONLY|O_CLOEXEC) = 4</d>`
	syncDir  = `fsync(4</d>)       = 0`
	renameAB = `renameat(AT_FDCWD</d>, "a", AT_FDCWD</d>, "b") = 0`
	removeA  = `unlinkat(AT_FDCWD</d>, "a", 0) = 0`
)

// rebuilt replays a whole record and reads the folder that survives.
func rebuilt(t *testing.T, text string, f Fate) map[string]string {
	t.Helper()
	r, err := Parse(strings.NewReader(text), "/d")
	if err != nil {
		t.Fatal(err)
	}
	d := NewDisk(r)
	if err := d.Advance(r.Lines); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "d")
	if err := d.Rebuild(dir, f); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	err = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if e.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		data, err := os.ReadFile(p)
		found[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What must be lost is lost: a replay that keeps too much proves nothing.
func TestSyncedOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lines []string
		want  map[string]string
	}{
		{"a file without any sync is not there", []string{createA, writeA}, map[string]string{}},
		{"the sync of a file does not keep its name", []string{createA, writeA, syncA}, map[string]string{}},
		{"a name without the sync of its file is empty", []string{createA, writeA, openDir, syncDir}, map[string]string{"a": ""}},
		{"both syncs keep a file", []string{createA, writeA, syncA, openDir, syncDir}, map[string]string{"a": "hello"}},
		{"a write after the sync is lost",
			[]string{createA, writeA, syncA, openDir, syncDir, `pwrite64(3</d/a>, "HE", 2, 0) = 2`, `pwrite64(3</d/a>, "long", 4, 5) = 4`},
			map[string]string{"a": "hello"}},
		{"a write that had not returned when the sync began is lost",
			[]string{createA, writeA, openDir, syncDir, `7 pwrite64(3</d/a>, "HE", 2, 0 <unfinished ...>`, syncA, `7 <... pwrite64 resumed>) = 2`},
			map[string]string{"a": "hello"}},
		{"a write that returned while the sync ran is lost",
			[]string{createA, writeA, openDir, syncDir, `7 fdatasync(3</d/a> <unfinished ...>`, `pwrite64(3</d/a>, "HE", 2, 0) = 2`, `7 <... fdatasync resumed>) = 0`},
			map[string]string{"a": "hello"}},
		{"a sync that never returned keeps nothing",
			[]string{createA, writeA, openDir, syncDir, `7 fdatasync(3</d/a> <unfinished ...>`}, map[string]string{"a": ""}},
		{"a sync that failed keeps nothing",
			[]string{createA, writeA, openDir, syncDir, `fsync(3</d/a>) = -1 EIO (Input/output error)`}, map[string]string{"a": ""}},
		{"a rename without the sync of the folder leaves the old name",
			[]string{createA, writeA, syncA, openDir, syncDir, renameAB}, map[string]string{"a": "hello"}},
		{"a rename with it has only the new one",
			[]string{createA, writeA, syncA, openDir, syncDir, renameAB, syncDir}, map[string]string{"b": "hello"}},
		{"a removed name comes back", []string{createA, writeA, syncA, openDir, syncDir, removeA}, map[string]string{"a": "hello"}},
		{"a removed name is gone with the sync of the folder",
			[]string{createA, writeA, syncA, openDir, syncDir, removeA, syncDir}, map[string]string{}},
		{"a new size is lost", []string{createA, writeA, syncA, openDir, syncDir, `ftruncate(3</d/a>, 2) = 0`}, map[string]string{"a": "hello"}},
		{"a new size with a sync is kept", []string{createA, writeA, openDir, syncDir, `ftruncate(3</d/a>, 2) = 0`, syncA}, map[string]string{"a": "he"}},
		{"a file cut short by its opening is as before",
			[]string{createA, writeA, syncA, openDir, syncDir, `openat(AT_FDCWD</d>, "a", O_WRONLY|O_TRUNC) = 5</d/a>`}, map[string]string{"a": "hello"}},
		{"a folder without the sync of its parent is not there",
			[]string{`mkdirat(AT_FDCWD</d>, "s", 0700) = 0`, `openat(AT_FDCWD</d>, "s/f", O_RDWR|O_CREAT, 0600) = 3</d/s/f>`,
				`fsync(3</d/s/f>) = 0`, `openat(AT_FDCWD</d>, "s", O_RDONLY) = 4</d/s>`, `fsync(4</d/s>) = 0`}, map[string]string{}},
		{"a folder with it has the names that were synced",
			[]string{`mkdirat(AT_FDCWD</d>, "s", 0700) = 0`, `openat(AT_FDCWD</d>, "s/f", O_RDWR|O_CREAT, 0600) = 3</d/s/f>`,
				`openat(AT_FDCWD</d>, "s", O_RDONLY) = 5</d/s>`, `fsync(5</d/s>) = 0`, openDir, syncDir,
				`openat(AT_FDCWD</d>, "s/g", O_RDWR|O_CREAT, 0600) = 6</d/s/g>`}, map[string]string{"s/": "", "s/f": ""}},
		{"the index of the log is left out",
			[]string{`openat(AT_FDCWD</d>, "x-shm", O_RDWR|O_CREAT, 0600) = 3</d/x-shm>`, `fsync(3</d/x-shm>) = 0`,
				`mmap(NULL, 32768, PROT_READ|PROT_WRITE, MAP_SHARED, 3</d/x-shm>, 0) = 0x1`, openDir, syncDir}, map[string]string{}},
		{"a file that was removed is written without harm",
			[]string{createA, syncA, openDir, syncDir, removeA, syncDir, `pwrite64(3</d/a>(deleted), "x", 1, 0) = 1`}, map[string]string{}},
		{"writes without a place follow one another, at the end where it was asked",
			[]string{createA, `write(3</d/a>, "he", 2) = 2`, `writev(3</d/a>, [{iov_base="l\154", iov_len=2}, {iov_base="o", iov_len=1}], 2) = 3`,
				`openat(AT_FDCWD</d>, "a", O_WRONLY|O_APPEND) = 5</d/a>`, `write(5</d/a>, "!", 1) = 1`, syncA, openDir, syncDir},
			map[string]string{"a": "hello!"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, rebuilt(t, record(c.lines...), SyncedOnly())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The random part reaches every state that a disk may be in and no other.
func TestSomeUnsynced(t *testing.T) {
	t.Parallel()
	old, fresh := strings.Repeat("o", pageLen), strings.Repeat("n", pageLen)
	text := record(createA,
		fmt.Sprintf(`pwrite64(3</d/a>, "%s", 8192, 0) = 8192`, old+old), syncA, openDir, syncDir,
		fmt.Sprintf(`pwrite64(3</d/a>, "%s", 12288, 0) = 12288`, fresh+fresh+fresh),
		`openat(AT_FDCWD</d>, "b", O_RDWR|O_CREAT, 0600) = 5</d/b>`)
	seen := map[string]bool{}
	for seed := range uint64(400) {
		found := rebuilt(t, text, SomeUnsynced(rand.New(rand.NewPCG(seed, 1))))
		a := found["a"]
		if len(a) != 2*pageLen && len(a) != 3*pageLen {
			t.Fatalf("a has %d bytes, a size that it never had", len(a))
		}
		state := ""
		for i := 0; i < len(a); i += pageLen {
			page := a[i : i+pageLen]
			switch {
			case page == old && i < 2*pageLen, page == fresh, isZero([]byte(page)) && i == 2*pageLen:
				state += page[:1]
			default:
				t.Fatalf("page %d holds what it never held", i/pageLen)
			}
		}
		if _, named := found["b"]; named {
			state += "+b"
		}
		seen[state] = true
	}
	for _, state := range []string{"oo", "nn", "on", "no", "oo\x00", "non", "nnn+b", "oo+b"} {
		if !seen[state] {
			t.Errorf("state %q was never reached, only %d others", state, len(seen))
		}
	}
}

// A cut in the middle knows nothing of what came later.
func TestAdvance(t *testing.T) {
	t.Parallel()
	r, err := Parse(strings.NewReader(record(createA, writeA, syncA, openDir, syncDir,
		`write(9<socket:[7]>, "250 done\r\n", 10) = 10`, `pwrite64(3</d/a>, "HELLO", 5, 0) = 5`, syncA)), "/d")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Replies) != 1 || r.Replies[0].Line != 6 || string(r.Replies[0].Text) != "250 done\r\n" || !strings.Contains(r.Replies[0].Socket, "[7]") {
		t.Errorf("replies %+v", r.Replies)
	}
	d := NewDisk(r)
	for _, c := range []struct {
		line int
		want string
	}{{6, "hello"}, {7, "hello"}, {8, "HELLO"}} {
		if err := d.Advance(c.line); err != nil {
			t.Fatal(err)
		}
		m := d.root.entries["a"].durable
		if got := string(m.pages[0][:m.size]); got != c.want {
			t.Errorf("behind line %d: %q, want %q", c.line, got, c.want)
		}
	}
}

// What the replay cannot follow is an error, so that it is not blind to it.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_SHARED, 3</d/a>, 0) = 0x1`,
		`copy_file_range(8</e>, NULL, 3</d/a>, NULL, 10, 0) = 10`,
		`renameat(AT_FDCWD</d>, "a", AT_FDCWD</e>, "b") = 0`,
		`linkat(AT_FDCWD</d>, "/d/a", AT_FDCWD</d>, "/d/b", 0) = 0`,
		`fallocate(3</d/a>, FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE, 0, 10) = 0`,
		`pwrite64(3</d/a>, "cut short"..., 100, 0) = 100`,
		`sync_file_range(3</d/a>, 0, 10, SYNC_FILE_RANGE_WRITE) = 0`,
		`dup(3</d/a>) = 5</d/a>`,
		`no call at all`,
	} {
		if _, err := Parse(strings.NewReader(record(createA, line)), "/d"); err == nil {
			t.Errorf("taken: %s", line)
		}
	}
	for _, line := range []string{
		`pwrite64(9</d/a>, "x", 1, 0) = 1`,
		`unlinkat(AT_FDCWD</d>, "never", 0) = 0`,
		`openat(AT_FDCWD</d>, "never", O_RDONLY) = 6</d/never>`,
	} {
		r, err := Parse(strings.NewReader(record(createA, line)), "/d")
		if err != nil {
			t.Fatal(err)
		}
		if err := NewDisk(r).Advance(r.Lines); err == nil {
			t.Errorf("replayed: %s", line)
		}
	}
}

// TestUnquote walks all bytes through both forms that strace writes.
func TestUnquote(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		for _, text := range []string{fmt.Sprintf(`"\%o"`, b), fmt.Sprintf(`"\%03o7"`, b)} {
			got, err := unquote(text)
			if err != nil || got[0] != byte(b) || len(got) > 2 {
				t.Errorf("%s: %q, %v", text, got, err)
			}
		}
	}
	got, err := unquote(`"\n\r\t\v\f\"\\\0end"`)
	if err != nil || string(got) != "\n\r\t\v\f\"\\\x00end" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(record(createA, writeA, syncA, openDir, syncDir, renameAB, removeA))
	f.Add("1 write(3</d/a> <unfinished ...>\n1 <... write resumed>, \"x\", 1) = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(strings.NewReader(text), "/d")
		if err != nil {
			return
		}
		for i := range r.ops {
			if o := &r.ops[i]; o.begin < 1 || o.begin > o.end || o.end > r.Lines || o.off > 1<<20 || o.size > 1<<20 || len(o.data) > len(text) {
				return
			}
		}
		_ = NewDisk(r).Advance(r.Lines) // it may refuse, it may not panic
	})
}
