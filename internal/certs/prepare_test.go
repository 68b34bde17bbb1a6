package certs

import (
	"testing"
	"time"
)

func TestPreparedIsShownOnceItIsCommitted(t *testing.T) {
	t.Parallel()
	m, _ := open(t, writePair(t, t.TempDir(), "one.test", time.Now().Add(time.Hour)))
	other := writePair(t, t.TempDir(), "two.test", time.Now().Add(time.Hour))
	shows := func(want string) {
		t.Helper()
		if got := m.Leaf().DNSNames[0]; got != want {
			t.Errorf("shows %s, want %s", got, want)
		}
	}
	commit, err := m.Prepare(other)
	if err != nil {
		t.Fatal(err)
	}
	shows("one.test")
	if err := m.Reload(); err != nil { // of the options that are still in use
		t.Fatal(err)
	}
	shows("one.test")
	commit()
	shows("two.test")
	if err := m.Reload(); err != nil {
		t.Fatal(err)
	}
	shows("two.test")
	if _, err := m.Prepare(writePair(t, t.TempDir(), "three.test", time.Now().Add(-time.Hour))); err == nil {
		t.Error("one that has expired is prepared")
	}
	shows("two.test")
}
