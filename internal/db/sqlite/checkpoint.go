package sqlite

import (
	"log/slog"
	"os"
	"sync"
	"time"

	lib "modernc.org/sqlite/lib"
)

// checkpointer copies the log into the database file, outside of the commits.
type checkpointer struct {
	w     *writer
	log   *slog.Logger
	wal   string // path of the log
	soft  int32  // frames from which on it copies
	hard  int32  // frames from which on writes wait for it
	space *space

	mu sync.Mutex // guards c
	c  *conn

	frames  int32 // in the log after the last commit; guarded by w.gate
	commits int64 // guarded by w.gate
	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}
}

const (
	// patience is how long a checkpoint that holds up the writer waits for
	// readers of the log, in milliseconds; at the hard limit hardPatience.
	patience     = 50
	hardPatience = 1000
	// idleAfter is how often the checkpointer looks whether nothing happens.
	idleAfter = 5 * time.Second
)

func (k *checkpointer) start() {
	k.wake, k.quit, k.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go k.run()
}

func (k *checkpointer) close() error {
	close(k.quit)
	<-k.stopped
	return k.c.close()
}

// committed notes the size of the log; the writer calls it after a group.
func (k *checkpointer) committed(frames int32) {
	k.frames = frames
	k.commits++
	if frames >= k.limit() {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// limit is the frames from which on it copies: the log is to fit well into what is
// kept free, since what deletes must find room in it on a disk that is full.
func (k *checkpointer) limit() int32 {
	if kept := k.space.kept(); kept > 0 {
		return int32(min(int64(k.soft), max(kept/4/(pageKiB<<10), 1)))
	}
	return k.soft
}

// press is the back-pressure: before a group the writer waits for a log at its
// limit to be copied.
func (k *checkpointer) press() {
	if k.frames >= k.hard {
		k.restart(hardPatience)
	}
}

func (k *checkpointer) run() {
	defer close(k.stopped)
	idle := time.NewTicker(idleAfter)
	defer idle.Stop()
	var seen, copied int64
	for {
		select {
		case <-k.quit:
			return
		case <-k.wake:
			k.checkpoint(lib.SQLITE_CHECKPOINT_PASSIVE, 0)
			k.w.gate.Lock()
			if k.frames >= k.limit() {
				k.restart(patience)
			}
			k.w.gate.Unlock()
		case <-idle.C:
			k.w.gate.Lock()
			commits := k.commits
			if commits == seen && commits != copied && k.idle() {
				copied = commits
			}
			seen = commits
			k.w.gate.Unlock()
		}
	}
}

// idle empties the log; the gate is held. A log of normal size is kept as a
// file, since writing over it is cheaper than growing a new one.
func (k *checkpointer) idle() bool {
	mode := int32(lib.SQLITE_CHECKPOINT_RESTART)
	if fi, err := os.Stat(k.wal); err == nil && fi.Size() > 4*int64(k.soft)*4096 {
		mode = lib.SQLITE_CHECKPOINT_TRUNCATE
	}
	return k.checkpoint(mode, patience)
}

// restart copies what is left and has the next commit begin at the log's start;
// the gate is held.
func (k *checkpointer) restart(millis int32) {
	if k.checkpoint(lib.SQLITE_CHECKPOINT_RESTART, millis) {
		k.frames = 0
	}
}

// checkpoint reports whether all of the log was copied.
func (k *checkpointer) checkpoint(mode, millis int32) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.w.broken.Load() != nil {
		return false
	}
	lib.Xsqlite3_busy_timeout(k.c.tls, k.c.db, millis)
	err := k.c.checkpoint(mode)
	switch {
	case err == nil:
		return true
	case primary(err) == lib.SQLITE_BUSY: // a reader needs the log
	case unsynced(err):
		_ = k.w.breakWith(err) // it is logged there, and every write gets it
	default:
		k.log.Error("checkpoint", "error", err)
	}
	return false
}

func (c *conn) checkpoint(mode int32) error {
	return c.error(lib.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, 0, mode, 0, 0))
}
