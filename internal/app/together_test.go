package app_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/testkit"
)

// Commands at once on a stopped server do their work one after the other.
func TestCommandsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	cfg := h.config()
	var all sync.WaitGroup
	for _, name := range []string{"a.test", "b.test", "c.test", "d.test"} {
		all.Go(func() {
			client, done, err := app.Control(t.Context(), cfg, quiet())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := control.Ask(t.Context(), client, control.DomainAdd, control.DomainSettings{Domain: name}); err != nil {
				t.Error(err)
			}
			if err := done(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// A server that starts while a command works waits for its end.
func TestServeWaitsForACommand(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	_, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	s := h.begin(func() { close(ready) })
	time.AfterFunc(300*time.Millisecond, func() {
		if err := done(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-s.ended:
		t.Fatalf("the run ended: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	s.stop()
}

// A command that comes while a server starts is answered by it.
func TestCommandWaitsForAServer(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.begin(func() {})
	testkit.Eventually(t, patience, "the database's lock", func() bool { return exists(h.data + "/hayauma.db.lock") })
	work(t, h)
	s.stop()
}

// The free space that is asked for changes with a reload, in both stores.
func TestReloadOfMinFree(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	h.write("[storage]\nmin_free = \"1MB\"")
	s := h.serve()
	ready := func(want int) {
		t.Helper()
		testkit.Eventually(t, patience, "the new limit", func() bool {
			code, _ := h.get("/readyz")
			return code == want
		})
	}
	ready(200)
	h.write("[storage]\nmin_free = \"8000000GB\"")
	s.reloaded(reloadDone)
	ready(503)
	testkit.Eventually(t, patience, "both stores", func() bool {
		h.get("/readyz") // asks both
		return strings.Contains(s.log.String(), "octets are free") && strings.Contains(s.log.String(), "free space crossed its minimum")
	})
	h.write("[storage]\nmin_free = \"1MB\"")
	s.reloaded(reloadDone)
	ready(200)
	h.write("[storage]\nmin_free = \"1MB\"\n[log]\nformat = \"json\"")
	s.reloaded(reloadFailed)
	if !strings.Contains(s.log.String(), "these settings need a restart: [log.format]") {
		t.Errorf("the log does not say that log.format needs a restart:\n%s", s.log)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
