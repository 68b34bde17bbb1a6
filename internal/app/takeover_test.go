package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/testkit"
)

// newOnPostgres is newHome for what only PostgreSQL can show: on a server of its own.
func newOnPostgres(t *testing.T) (h *home, url string) {
	t.Helper()
	h, url = newHome(t), testkit.NewPostgres(t).URL("")
	h.storage = fmt.Sprintf("database = %q\nbodies = \"postgres\"\n", url)
	h.write("")
	return h, url
}

func psql(t *testing.T, url, sql string) string {
	t.Helper()
	out, err := testkit.Psql(t.Context(), url, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A server whose database another process has taken over ends and says so; it is
// no door behind which nobody works. The next start serves again.
func TestTakenOverServerEnds(t *testing.T) {
	t.Parallel()
	h, url := newOnPostgres(t)
	s := h.serve()
	psql(t, url, "UPDATE storage_owner SET epoch = epoch + 1")
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	_, err = control.Ask(t.Context(), client, control.DomainAdd, control.DomainSettings{Domain: "hayauma.test"})
	if err = errors.Join(err, done()); err == nil || !strings.Contains(err.Error(), db.ErrInUse.Error()) {
		t.Errorf("a write after it: %v", err)
	}
	err = s.end()
	s.ended = nil
	if !errors.Is(err, db.ErrInUse) || !strings.Contains(err.Error(), "the server ends") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the run ended with: %v", err)
	}
	if !refusing(t, h.smtp) || !refusing(t, h.http) {
		t.Error("its doors are still open")
	}
	h.serve()
	work(t, h)
}

// A server says in the database where it works, until it stops; a command does not.
func TestServerTellsItsPlace(t *testing.T) {
	t.Parallel()
	h, url := newOnPostgres(t)
	const places = "SELECT place FROM storage_server"
	s := h.serve()
	if got := psql(t, url, places); !strings.HasSuffix(got, ":"+h.data) {
		t.Errorf("a server is at %q, want it in %s", got, h.data)
	}
	s.stop()
	if got := psql(t, url, places); got != "" {
		t.Errorf("after its stop it is still at %q", got)
	}
	_, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if got := psql(t, url, places); got != "" {
		t.Errorf("a command passes for a server at %q", got)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}
