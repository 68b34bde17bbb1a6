package pack

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
)

func TestSetLimitsOfSpace(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, small(filepath.Join(t.TempDir(), "blobs"), newDB(t)))
	s.SetLimits(time.Hour, 1<<62)
	if _, err := tryCommit(t, s, 10); !errors.Is(err, blob.ErrFull) {
		t.Errorf("commit gives %v, want ErrFull", err)
	}
	if err := s.Health(); !errors.Is(err, blob.ErrFull) {
		t.Errorf("health gives %v, want ErrFull", err)
	}
	s.SetLimits(time.Hour, 1)
	if _, err := tryCommit(t, s, 10); err != nil { // without waiting for the next look
		t.Error(err)
	}
}

func TestSetLimitsOfDeadBytes(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	opt.Grace = time.Microsecond
	s := mustOpen(t, opt)
	f := blobtest.Fixture{Store: s, DB: opt.DB}
	live := blobtest.Commit(t, s, blobtest.Bytes(100_000, 1))
	dead := blobtest.Commit(t, s, blobtest.Bytes(1000, 2))
	blobtest.Record(t, f, live, dead)
	blobtest.Release(t, f, dead)
	first := packName(1)
	sweep := func() {
		t.Helper()
		for range 2 {
			if _, err := s.Sweep(t.Context(), blobtest.Refs()); err != nil {
				t.Fatal(err)
			}
			waitSealed(s)
		}
	}
	sweep()
	names, err := s.disk.list("packs")
	if err != nil || len(names) != 1 {
		t.Fatalf("packs %q, %v", names, err)
	}
	s.SetLimits(time.Microsecond, -1)
	sweep()
	if _, err := s.disk.open(first, 0); !isMissing(err) {
		t.Errorf("the pack with dead bytes is still there: %v", err)
	}
	blobtest.Want(t, s, live.ID, blobtest.Bytes(100_000, 1))
}

// A store that takes no body, as for a command on a stopped server, fills no
// pack with zeros that the next start would cut off.
func TestNoZerosBeforeTheFirstBody(t *testing.T) {
	t.Parallel()
	opt := small(filepath.Join(t.TempDir(), "blobs"), newDB(t))
	s := mustOpen(t, opt)
	s.keep.wake()
	f, err := s.disk.open(packName(1), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if size, err := f.Size(); err != nil || size != packHeadLen {
		t.Errorf("an unused pack has %d octets, %v", size, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	again := mustOpen(t, opt)
	if !strings.Contains(log.String(), "octets_cut=0 ") {
		t.Errorf("log %s", &log)
	}
	if _, err := tryCommit(t, again, 1000); err != nil {
		t.Error(err)
	}
}
