package crash

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
)

// smallDisk mounts a file system of a few MB that a test can fill.
func smallDisk(t *testing.T) string {
	t.Helper()
	testkit.RequireRoot(t)
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), testkit.Require(t, "mount"), "-t", "tmpfs", "-o", "size=160m", "tmpfs", dir).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a file system of limited size cannot be mounted: %v: %s; CI=true allows no skipped test", err, out)
		}
		t.Skipf("a file system of limited size cannot be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes a file until only left octets are free.
func fill(t *testing.T, dir string, left int64) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	block := make([]byte, 64<<10)
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		n := min(int64(st.Bavail)*st.Bsize-left, int64(len(block)))
		if n <= 0 {
			return ballast
		}
		if _, err := f.Write(block[:n]); err != nil {
			if errors.Is(err, unix.ENOSPC) && left == 0 {
				return ballast
			}
			t.Fatal(err)
		}
	}
}

const fullPatience = 20 * time.Second

// refused sends until the server refuses a message, and returns how.
func (w *world) refused(t *testing.T, size int) *readback.ReplyError {
	t.Helper()
	var last error
	testkit.Eventually(t, fullPatience, "a refusal", func() bool {
		_, last = w.send(t, size)
		return last != nil
	})
	reply, ok := errors.AsType[*readback.ReplyError](last)
	if !ok {
		t.Fatalf("no reply but %v", last)
	}
	return reply
}

// Below the reserve mail gets 452 4.3.1, deleting works, and once there is space
// again mail is accepted without a restart.
func TestDiskAlmostFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	w := newWorld(t, dir, "16MB")
	w.serve(t)
	for range 20 {
		w.mustSend(t, 8000)
	}
	w.mustSend(t, largeSize)
	ballast := fill(t, dir, 8<<20)
	for _, size := range []int{5000, largeSize} {
		if r := w.refused(t, size); r.Code != 452 || !strings.HasPrefix(r.Text, "4.3.1 ") {
			t.Errorf("%d octets: %v, want 452 4.3.1", size, r)
		}
	}
	s := w.login(t)
	if _, err := s.Append("INBOX", readback.Compose("<no@proof.test>", account(0), 4000)); err == nil {
		t.Error("APPEND was taken on a full disk")
	}
	w.makesRoom(t)
	w.backToNormal(t, ballast)
}

// With not one octet left mail gets a temporary refusal, whatever call it is that
// fails, and nothing that was accepted is lost.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t)
	w := newWorld(t, dir, "1B")
	w.serve(t)
	for range 20 {
		w.mustSend(t, 8000)
	}
	ballast := fill(t, dir, 0)
	for _, size := range []int{largeSize, 60_000} { // what is zeroed ahead takes some more small ones
		if r := w.refused(t, size); r.Code/100 != 4 {
			t.Errorf("%d octets: %v, want a temporary refusal", size, r)
		}
	}
	w.holds(t, w.sent)
	w.backToNormal(t, ballast)
}

// A server that was stopped or killed while there was room starts with not one octet left:
// mail has to be read and deleted to make some.
func TestStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*world, *testing.T){
		"stopped": (*world).stop,
		"killed":  func(w *world, _ *testing.T) { w.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := smallDisk(t)
			w := newWorld(t, dir, "16MB")
			w.serve(t)
			for range 10 {
				w.mustSend(t, 8000)
			}
			w.stop(t)
			if err := os.Remove(w.data("spare")); err != nil {
				t.Fatal(err)
			}
			w.serve(t) // holds the room anew
			for range 10 {
				w.mustSend(t, 8000)
			}
			end(w, t)
			ballast := fill(t, dir, 0)
			w.serve(t)
			w.makesRoom(t)
			w.backToNormal(t, ballast)
			if info, err := os.Stat(w.data("spare")); err != nil || info.Size() == 0 {
				t.Errorf("no room is held for the next time: %v", err)
			}
		})
	}
}

// makesRoom deletes some of the mail, as its reader does on a full disk.
func (w *world) makesRoom(t *testing.T) {
	t.Helper()
	s := w.login(t)
	for _, c := range []string{"SELECT INBOX", `STORE 1:5 +FLAGS.SILENT (\Deleted)`, "EXPUNGE"} {
		if _, _, err := s.Do(c); err != nil {
			t.Errorf("%s on a full disk: %v", c, err)
		}
	}
	w.sent = w.sent[5:]
	w.holds(t, w.sent)
}

// backToNormal frees the space, and everything works without a restart.
func (w *world) backToNormal(t *testing.T, ballast string) {
	t.Helper()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, fullPatience, "mail to be accepted again", func() bool {
		_, err := w.send(t, 5000)
		return err == nil
	})
	w.mustSend(t, largeSize)
	if _, err := w.login(t).Append("Archive", readback.Compose("<yes@proof.test>", account(0), 4000)); err != nil {
		t.Errorf("append: %v", err)
	}
	w.holds(t, w.sent)
	w.stop(t)
	if code, said := w.checkDeep(t); code != 0 {
		t.Errorf("check --deep: code %d\n%s", code, said)
	}
	w.serve(t)
	w.holds(t, w.sent)
}
