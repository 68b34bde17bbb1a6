package crash

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/sqlite"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
)

// filled is a stopped server that has some mail.
func filled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, t.TempDir(), "1MB")
	w.serve(t)
	for range 10 {
		w.mustSend(t, 5000)
	}
	w.mustSend(t, largeSize)
	w.stop(t)
	return w
}

// files are the checksums of what must not be touched: database and bodies. A lock
// names who looked last.
func (w *world) files(t *testing.T) map[string][32]byte {
	t.Helper()
	sums := map[string][32]byte{}
	err := filepath.WalkDir(w.data(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(path, "lock") || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, "-wal") {
			return err
		}
		data, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// only returns the path of the one file that a pattern matches.
func (w *world) only(t *testing.T, pattern ...string) string {
	t.Helper()
	names, err := filepath.Glob(w.data(pattern...))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v: %v, %v", pattern, names, err)
	}
	return names[0]
}

// packWith returns the pack that holds some bytes, and where they stand.
func (w *world) packWith(t *testing.T, text string) (path string, at int) {
	t.Helper()
	names, err := filepath.Glob(w.data("bodies", "packs", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(data, []byte(text)); at >= 0 {
			return name, at
		}
	}
	t.Fatalf("no pack holds %q", text)
	return "", 0
}

// overwrite changes bytes in a file.
func overwrite(t *testing.T, path string, at int, change func([]byte)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(data[at:])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) { b[0] ^= 0x10 }

// refuses fails the test unless the server refuses to start with a sentence that
// holds all words, and leaves every file as it is.
func (w *world) refuses(t *testing.T, words ...string) {
	t.Helper()
	before := w.files(t)
	err := w.tryServe(t)
	if err == nil {
		t.Fatal("the server started")
	}
	if !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%v, want exit status 1", err)
	}
	log := strings.TrimSpace(w.Log())
	sentence := log[strings.LastIndexByte(log, '\n')+1:]
	for _, word := range words {
		if !strings.Contains(sentence, word) {
			t.Errorf("the last line lacks %q: %s", word, sentence)
		}
	}
	if diff := cmp.Diff(before, w.files(t)); diff != "" {
		t.Errorf("the refusal changed files:\n%s", diff)
	}
}

func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	w := filled(t)
	path := w.data("hayauma.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, 0, func(b []byte) { copy(b, bytes.Repeat([]byte("garbage "), 16)) })
	w.refuses(t, "hayauma.db", "nothing was changed", "restore")
	write(t, path, string(whole))
	w.serve(t)
	w.holds(t, w.sent)
}

// A database that is gone is not taken for a new one while there are bodies.
func TestMissingDatabase(t *testing.T) {
	t.Parallel()
	w := filled(t)
	path := w.data("hayauma.db")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	before := len(w.files(t))
	if err := w.tryServe(t); err == nil {
		t.Fatal("the server started without its database")
	}
	if !strings.Contains(w.Log(), "does not list it") || !strings.Contains(w.Log(), "restore") {
		t.Errorf("no clear sentence:\n%s", w.Log())
	}
	if after := len(w.files(t)); after < before {
		t.Errorf("%d files are left of %d", after, before)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	w.serve(t)
	w.holds(t, w.sent)
}

func TestMissingPack(t *testing.T) {
	t.Parallel()
	w := filled(t)
	pack, _ := w.packWith(t, "<w3@proof.test>")
	if err := os.Rename(pack, pack+".away"); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, filepath.Base(pack), "is missing", "restore", "nothing was changed")
	if err := os.Rename(pack+".away", pack); err != nil {
		t.Fatal(err)
	}
	large := w.only(t, "bodies", "large", "*")
	if err := os.Rename(large, large+".away"); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, filepath.Base(large), "is missing", "restore", "nothing was changed")
	if err := os.Rename(large+".away", large); err != nil {
		t.Fatal(err)
	}
	w.serve(t)
	w.holds(t, w.sent)
}

// The end of a pack that was written to is verified at each start.
func TestDamagedTail(t *testing.T) {
	t.Parallel()
	w := filled(t)
	pack, at := w.packWith(t, "<w3@proof.test>")
	overwrite(t, pack, at, flip)
	w.refuses(t, "do not fit together", "restore", "nothing was changed")
	overwrite(t, pack, at, flip)
	w.serve(t)
	w.holds(t, w.sent)
}

// A flipped bit in a body that is not read at the start is found by the deep
// check, and when somebody fetches it: then the command fails. Of a small body not one
// octet goes out; a large one, which is verified block by block on its way, ends with
// the session before the damage, so that no client can take it for whole.
func TestDamagedBody(t *testing.T) {
	t.Parallel()
	w := filled(t)
	w.serve(t) // a second start seals the pack
	w.stop(t)
	pack, at := w.packWith(t, "<w3@proof.test>")
	overwrite(t, pack, at+800, flip)
	large := w.only(t, "bodies", "large", "*")
	overwrite(t, large, largeSize/2, flip)
	before := w.files(t)

	code, said := w.checkDeep(t)
	if code != 1 || strings.Count(said, "fault: ") != 2 || !strings.Contains(said, "backup") {
		t.Errorf("check --deep: code %d\n%s", code, said)
	}
	w.serve(t)
	for n, id := range w.sent {
		damaged := n == 3 || n == len(w.sent)-1
		body, err := fetch(w.login(t), n+1)
		switch {
		case damaged && err == nil:
			t.Errorf("%s: a damaged body was given out as whole", id)
		case n == 3 && len(body) > 0:
			t.Errorf("%s: %d octets of a damaged body went out", id, len(body))
		case damaged && len(body) > 0:
			sent := readback.Compose(id, "somebody@elsewhere.test", largeSize)
			if at := bytes.Index(body, sent[:80]); at < 0 || !bytes.HasPrefix(sent, body[at:]) || len(body)-at >= largeSize/2+largeSize/10 {
				t.Errorf("%s: what went out is not the beginning of what was sent", id)
			}
		case !damaged && err != nil:
			t.Errorf("%s: %v", id, err)
		}
	}
	w.mustSend(t, 5000) // the rest works
	w.stop(t)
	after := w.files(t)
	for path, sum := range before {
		if strings.Contains(path, "bodies") && (path == pack || path == large) && after[path] != sum {
			t.Errorf("%s was changed", path)
		}
	}
}

// fetch reads one message; what came of a literal before the end of the session
// counts as read.
func fetch(s *readback.IMAP, n int) ([]byte, error) {
	if _, _, err := s.Do("EXAMINE INBOX"); err != nil {
		return nil, err
	}
	return s.FetchBody(n)
}

// A clock that jumps back between two runs leaves ids in order: they begin behind
// the last one in the store.
func TestClockStepsBack(t *testing.T) {
	t.Parallel()
	w := filled(t)
	ahead := mail.FirstID(time.Now().Add(48 * time.Hour))
	d, err := sqlite.Open(t.Context(), sqlite.Options{Path: w.data("hayauma.db")})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Write(t.Context(), func(tx *db.Tx) error {
		return event.Append(tx, mail.NewIDs(0, ahead), []event.Event{{Message: ahead, Kind: event.Accepted}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	w.serve(t)
	last := ahead.String()
	for range 5 {
		_, id, _ := strings.Cut(w.mustSend(t, 3000), "Accepted as ")
		if id <= last {
			t.Errorf("id %s after %s", id, last)
		}
		last = id
	}
	w.holds(t, w.sent)
	w.stop(t)
	if code, said := w.checkDeep(t); code != 0 {
		t.Errorf("check --deep: %s", said)
	}
	if r := testkit.Hayauma(t, "", "trace", last, "--config", w.configFile()); r.Code != 0 {
		t.Errorf("trace %s: %s", last, r.Stderr)
	}
}
