package queue

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// heard are the changes that a queue told of.
type heard struct {
	mu   sync.Mutex
	list []Change
}

func (h *heard) note(c Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, c)
}

func (h *heard) kinds() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.list {
		out = append(out, string(c.Kind))
	}
	return out
}

// TestChangesAreTold: a pause or less, with its end; fewer connections, and when there
// are as many again; each with the provider and why.
func TestChangesAreTold(t *testing.T) {
	t.Parallel()
	for begin, c := range map[ChangeKind]struct {
		want   string // sorted
		advice Advice
	}{
		// What it bore is forgotten at the end of a long pause.
		Paused: {"fewer paused resumed", Advice{For: 30 * time.Minute, Pause: true, Why: "it said so"}},
		Slowed: {"eased fewer more slowed", Advice{For: 30 * time.Minute, Limits: Limits{Rate: 600, Per: time.Hour}, Why: "it said so"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			said := false
			f := &farm{}
			f.takes = func(int, *Job) Outcome {
				if len(f.taken) >= 50 && !said {
					said = true
					return Outcome{Result: TryLater, Code: 421, Reply: "[TSS04]", Strained: true}
				}
				return Outcome{Result: Delivered, Code: 250}
			}
			w := farmWorld(t, f, Limits{Connections: 5})
			h := &heard{}
			w.q.o.Changed = h.note
			w.q.o.Advise = func(string, *Outcome) Advice { return c.advice }
			w.run()
			w.spread(200, 9)
			time.Sleep(29 * time.Minute)
			if got := h.kinds(); len(got) < 2 || got[0] != string(Fewer) || got[1] != string(begin) || len(got) > 2 && got[2] != string(More) {
				t.Fatalf("%s: %v", begin, got)
			}
			time.Sleep(3 * time.Minute)
			h.mu.Lock()
			list := slices.Clone(h.list)
			h.mu.Unlock()
			for _, change := range list {
				if change.Provider != "farm.test" || change.Site != "" {
					t.Errorf("%+v", change)
				}
			}
			if !strings.HasSuffix(list[1].Why, " UTC: it said so") || list[0].Why != "2 at once: [TSS04]" && list[0].Why != "1 at once: [TSS04]" {
				t.Errorf("%+v", list)
			}
			time.Sleep(10 * time.Minute)
			got := h.kinds()
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s: %v, want %v", begin, got, c.want)
			}
		})
	}
}

// TestDownIsTold: once when a site goes and once when it comes, however often it is tried.
func TestDownIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{}
		w := newBubble(t, g)
		h := &heard{}
		w.q.o.Changed = h.note
		w.run()
		w.fill(100, "far.test")
		time.Sleep(3 * time.Hour)
		g.open.Store(true)
		time.Sleep(20 * time.Minute)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.list) != 2 || h.list[0] != (Change{SiteOff, "far.test", "far.test", "connect to mx.far.test: timed out"}) ||
			h.list[1].Kind != SiteOn || h.list[1].Site != "far.test" || !strings.HasPrefix(h.list[1].Why, "after 4 hours, tried ") {
			t.Errorf("%+v", h.list)
		}
	})
}
