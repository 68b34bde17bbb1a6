package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/mail"
)

// remote is a Deliverer that does what a recipient's fate says and counts what
// it took.
type remote struct {
	mu    sync.Mutex
	taken map[mail.ID]int
	fate  map[mail.ID]Result
}

func (r *remote) Deliver(_ context.Context, _ string, next func() *Job, done func(*Job, []Outcome)) {
	for job := next(); job != nil; job = next() {
		var out []Outcome
		r.mu.Lock()
		for _, rcpt := range job.Recipients {
			result := r.fate[rcpt.ID]
			if result == Delivered {
				r.taken[rcpt.ID]++
			}
			out = append(out, Outcome{Recipient: rcpt.ID, Result: result, Code: 250})
		}
		r.mu.Unlock()
		done(job, out)
	}
}

// TestModel runs random operations and restarts and compares what the queue
// holds with a plain map. Whatever happens, a recipient is taken at most once,
// and is either in the queue or accounted for.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		far := &remote{taken: map[mail.ID]int{}, fate: map[mail.ID]Result{}}
		w := newWorld(t, far, func(s *Settings) { s.PerSite = 2 })
		stop := func() {}
		running := false
		model := map[mail.ID]State{} // gone = no row
		settle := func() {
			if !running {
				return
			}
			w.eventually("rest", func() bool {
				s := w.stats()
				return s[Queued]+s[Leased] == 0 && w.octets() == 0
			})
			for id, s := range model {
				if s != Queued {
					continue
				}
				model[id] = map[Result]State{Delivered: gone, TryLater: Deferred, Refused: Failed}[far.fate[id]]
			}
		}
		pick := func(kind string) []mail.ID {
			var ids []mail.ID
			for id := range model {
				ids = append(ids, id)
			}
			slices.Sort(ids)
			if len(ids) == 0 {
				return nil
			}
			return []mail.ID{rapid.SampledFrom(ids).Draw(r, kind)}
		}
		admin := func(name string, verb func(context.Context, Filter) (Touched, error), to State) {
			ids := pick(name)
			if len(ids) == 0 {
				return
			}
			from := model[ids[0]]
			n, err := verb(context.Background(), Filter{IDs: ids})
			w.must(err)
			allowed := may(from, to, byAdmin) && from != gone && (name != "release" || from == Held) && (name != "retry" || from == Deferred)
			if allowed != (n.All() == 1) {
				r.Fatalf("%s of %v touched %d", name, from, n)
			}
			if allowed {
				model[ids[0]] = to
			}
			settle()
		}
		r.Repeat(map[string]func(*rapid.T){
			"insert": func(r *rapid.T) {
				hold := rapid.IntRange(0, 3).Draw(r, "hold") == 0
				w.hold.Store(hold)
				var to []string
				for i := range rapid.IntRange(1, 6).Draw(r, "recipients") {
					to = append(to, fmt.Sprintf("u%d@d%d.test", i, rapid.IntRange(1, 3).Draw(r, "site")))
				}
				m := w.message(to...)
				for _, rcpt := range m.Recipients {
					far.mu.Lock()
					far.fate[rcpt.ID] = rapid.SampledFrom([]Result{Delivered, Delivered, TryLater, Refused}).Draw(r, "fate")
					far.mu.Unlock()
					model[rcpt.ID] = Queued
					if hold {
						model[rcpt.ID] = Held
					}
				}
				w.insert(m)
				settle()
			},
			"start": func(*rapid.T) {
				if !running {
					stop, running = w.run(), true
					settle()
				}
			},
			"stop": func(*rapid.T) {
				stop()
				running = false
				w.open(far)
			},
			"crash": func(*rapid.T) {
				stop()
				running = false
				// As if the process had died with what was due in its hands.
				w.exec("UPDATE queue_recipient SET state = 2, owner = 77 WHERE state = 1")
				w.open(far)
				_, err := w.q.Recover(context.Background())
				w.must(err)
			},
			"hold":    func(*rapid.T) { admin("hold", w.q.Hold, Held) },
			"release": func(*rapid.T) { admin("release", w.q.Release, Queued) },
			"retry":   func(*rapid.T) { admin("retry", w.q.Retry, Queued) },
			"bounce":  func(*rapid.T) { admin("bounce", w.q.Bounce, Failed) },
			"delete":  func(*rapid.T) { admin("delete", w.q.Delete, gone) },
			"": func(r *rapid.T) {
				list, err := w.q.List(context.Background(), Filter{All: true})
				w.must(err)
				var got, want []string
				for _, m := range list {
					for _, rcpt := range m.Recipients {
						got = append(got, rcpt.ID.String()+" "+rcpt.State.String())
					}
				}
				for id, s := range model {
					if s != gone {
						want = append(want, id.String()+" "+s.String())
					}
					if far.taken[id] > 1 {
						r.Fatalf("%s was taken %d times", id, far.taken[id])
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					r.Fatalf("the queue holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			},
		})
		stop()
	})
}
