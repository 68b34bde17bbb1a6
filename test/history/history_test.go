package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// operations is the length of a history.
	operations = 50_000
	// compareEvery is after how many operations all there is is compared.
	compareEvery = 500
	// remembered is how many operations a failure tells of.
	remembered = 20
)

// The environment by which a run is told what to do.
const (
	lengthEnv = "HAYAUMA_HISTORY"
	seedEnv   = "HAYAUMA_SEED"
)

// TestHistory runs one history on both engines in lockstep.
func TestHistory(t *testing.T) {
	t.Parallel()
	length, seed := operations/scale, rand.Uint64()
	if text := os.Getenv(lengthEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", lengthEnv, err)
		}
		length = n
	}
	if text := os.Getenv(seedEnv); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
		seed = n
	}
	t.Logf("seed %d, %d operations", seed, length)
	h := newHistory(seed, newWorld(t, "embedded", dbtest.Embedded(t)), newWorld(t, "PostgreSQL", postgres(t)))
	start := time.Now()
	if err := h.run(length); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v; %s", time.Since(start).Round(time.Second), h.m.summary())
	if length >= 20_000 {
		h.expectAll(t)
	}
}

// expectAll wants every refusal to have been met: a generator that has come to
// miss some tests less than it seems to.
func (h *history) expectAll(t *testing.T) {
	t.Helper()
	for _, answer := range []string{
		"no domain", "exists", "in use", "bad domain", "bad address", "bad password", "no account", "no alias", "error",
		"unknown", "elsewhere", "no mailbox", "no select", "bad name", "not allowed", "has children", "too many",
		"read-only", "over quota", "bad keyword", "true", "false", "no filter", "no message",
	} {
		if h.met[answer] == 0 {
			t.Errorf("the history never met %q", answer)
		}
	}
}

// postgres is an engine on a server of its own, in a database that sorts and
// folds letters as people do: ours must go by octets all the same.
func postgres(t *testing.T) db.DB {
	t.Helper()
	server := testkit.NewPostgres(t)
	_, err := testkit.Psql(t.Context(), server.URL(""),
		"CREATE DATABASE history TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'")
	if err != nil {
		t.Logf("a server without the locales of ICU: %v", err)
		return dbtest.Postgres(t, server.URL(""))
	}
	return dbtest.Postgres(t, server.URL("history"))
}

// history is a run of operations on some worlds at once.
type history struct {
	seed   uint64
	m      *model
	g      *generator
	worlds []*world
	done   int            // operations
	last   []string       // the last of them, in words
	met    map[string]int // answers

	// lie changes the answer of a world, to see that it is found out.
	lie func(n int, answer string) string
}

func newHistory(seed uint64, worlds ...*world) *history {
	m := newModel()
	return &history{seed: seed, m: m, g: newGenerator(seed, m), worlds: worlds, met: map[string]int{}}
}

func (h *history) run(n int) error {
	for range n {
		if err := h.step(); err != nil {
			return h.failure(err)
		}
		if h.done%compareEvery == 0 {
			if err := h.compare(); err != nil {
				return h.failure(err)
			}
		}
	}
	err := h.compare()
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return h.failure(err)
	}
	return nil
}

func (h *history) failure(err error) error {
	return fmt.Errorf("seed %d, operation %d: %w\nthe last operations:\n%s\n(%s=%d %s=%d repeats it)",
		h.seed, h.done, err, strings.Join(h.last, "\n"), seedEnv, h.seed, lengthEnv, h.done)
}

// step does one operation everywhere.
func (h *history) step() error {
	op := h.g.next()
	h.done++
	h.last = append(h.last, fmt.Sprintf("%d: %s", h.done, op.words))
	h.last = h.last[max(0, len(h.last)-remembered):]
	want := op.model()
	h.met[want]++
	if op.queue {
		h.m.settle()
	}
	at := h.m.rest()
	return h.everywhere(func(w *world) error {
		got := op.world(w)
		if op.queue {
			if err := w.settle(at); err != nil {
				return fmt.Errorf("%s: %w", op.words, err)
			}
		}
		if h.lie != nil {
			got = h.lie(h.done, got)
		}
		if got != want {
			return fmt.Errorf("%s\nanswered %s\nwant     %s", op.words, got, want)
		}
		return nil
	})
}

// everywhere does something in all worlds at the same time.
func (h *history) everywhere(f func(*world) error) error {
	errs := make([]error, len(h.worlds))
	var all sync.WaitGroup
	for i, w := range h.worlds {
		all.Go(func() { errs[i] = f(w) })
	}
	all.Wait()
	var text []string
	for i, err := range errs {
		if err != nil {
			text = append(text, h.worlds[i].name+": "+err.Error())
		}
	}
	if len(text) > 0 {
		return fmt.Errorf("%s", strings.Join(text, "\n"))
	}
	return nil
}

func (m *model) summary() string {
	messages := 0
	for _, a := range m.accounts {
		_, n := a.used()
		messages += n
	}
	return fmt.Sprintf("made %d accounts, %d mailboxes, %d messages, %d sessions; at the end %d accounts with %d messages, %d recipients queued",
		m.accountsMade, m.boxesMade, m.messagesMade, m.viewsMade, len(m.accounts), messages, len(m.rcpts))
}
