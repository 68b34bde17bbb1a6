package app

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hayauma/hayauma/internal/config"
)

// spareSize is room for the index of SQLite's log, without which nothing can be read, and
// for a log of some hundred changes.
const spareSize = 2 << 20

// spareRoom is a file that holds room on the disk for a start when there is none left:
// mail has to be read, let go and deleted to make some.
type spareRoom struct{ path string }

func spareIn(cfg *config.Config) spareRoom { return spareRoom{filepath.Join(cfg.DataDir, "spare")} }

// release gives the room to who opens the database next, and tells whether there was any.
func (r spareRoom) release() bool { return os.Remove(r.path) == nil }

// hold takes the room, if it is not held and much more is free.
func (r spareRoom) hold(log *slog.Logger) {
	info, err := os.Stat(r.path)
	if err == nil && info.Size() == spareSize {
		return
	}
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(r.path), &st); err != nil || st.Bavail*uint64(st.Bsize) < 16*spareSize {
		return
	}
	room := make([]byte, spareSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(room) // nothing that a file system makes smaller; never fails
	if err := os.WriteFile(r.path, room, 0o600); err != nil {
		log.Warn("no room can be held for a start on a full disk", "file", r.path, "error", errors.Join(err, os.Remove(r.path)))
	}
}
