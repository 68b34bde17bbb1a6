package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/relay/event"
)

// eventLine is an event as the model tells it.
func (w *world) eventLine(e event.Event) string {
	d := e.Detail
	line := string(e.Kind)
	switch e.Kind {
	case event.Accepted:
		line += fmt.Sprintf(" from %q to %v, %d queued", d.From, d.Recipients, d.Queued)
	case event.Duplicate:
		line += fmt.Sprintf(" from %q to %v", d.From, d.Recipients)
	case event.Rejected:
		line += fmt.Sprintf(" %d", d.Code)
	case event.Filed:
		line += fmt.Sprintf(" in %s as %d", d.Mailbox, d.UID)
	case event.Held, event.Released, event.Deleted:
		line += " " + d.Reason
	default:
		if d.Attempt == 0 {
			// What code it names is left out: where a wish came true with an
			// attempt it is that attempt's, not the one of the report.
			line += " " + d.Reason
			break
		}
		line += fmt.Sprintf(" %d %s attempt %d", d.Code, d.Enhanced, d.Attempt)
	}
	return strings.TrimSpace(e.Recipient + " " + line)
}

// inStory puts the events of one message in an order of their own: those of a
// recipient stay in order, how recipients mix is a matter of goroutines.
func inStory(lines []string) []string {
	out := slices.Clone(lines)
	slices.SortStableFunc(out, func(a, b string) int {
		a, _, _ = strings.Cut(a, " ")
		b, _, _ = strings.Cut(b, " ")
		return strings.Compare(a, b)
	})
	return out
}

func (g *generator) trace() operation {
	if g.m.messagesMade == 0 {
		return g.send()
	}
	number := 1 + g.r.IntN(g.m.messagesMade)
	if g.r.IntN(4) > 0 {
		number = max(1, g.m.messagesMade-g.r.IntN(50))
	}
	name := fmt.Sprintf("m%d", number)
	return operation{
		words: "trace " + name,
		model: func() string {
			if len(g.m.told[name]) == 0 {
				return "no message"
			}
			return name + "\n" + strings.Join(inStory(g.m.told[name]), "\n")
		},
		world: func(w *world) string { return w.trace(w.messages.id(number).String()) },
	}
}

// traceByName traces a Message-ID.
func (g *generator) traceByName() operation {
	if len(g.m.known) == 0 {
		return g.send()
	}
	id := pick(g.r, sortedKeys(g.m.known))
	return operation{
		words: "trace " + id,
		model: func() string {
			var parts []string
			for _, name := range slices.Backward(g.m.known[id]) {
				parts = append(parts, name+"\n"+strings.Join(inStory(g.m.told[name]), "\n"))
			}
			return strings.Join(parts, "\n")
		},
		world: func(w *world) string { return w.trace(id) },
	}
}

func (w *world) trace(ref string) string {
	list, err := w.p.log.Trace(w.ctx, ref)
	if err != nil {
		return kind(err)
	}
	var parts []string
	for _, t := range list {
		var lines []string
		for _, e := range t.Events {
			lines = append(lines, w.eventLine(e))
		}
		parts = append(parts, w.messageName(t.Message)+"\n"+strings.Join(inStory(lines), "\n"))
	}
	return strings.Join(parts, "\n")
}

// follow reads what has happened since the last call, until it is as much as
// there should be or the engine gives no more.
func (w *world) follow(want int) ([]string, error) {
	const page = 100
	var lines []string
	read := func() error {
		for {
			list, next, err := w.p.log.After(w.ctx, w.cursor, page)
			if err != nil {
				return err
			}
			// A place is what its text says.
			if w.cursor, err = event.ParseCursor(next.String()); err != nil {
				return err
			}
			for _, e := range list {
				if w.seen[e.ID] {
					return errors.New("an event was given twice")
				}
				w.seen[e.ID] = true
				lines = append(lines, w.messageName(e.Message)+" "+w.eventLine(e))
			}
			if len(list) < page {
				return nil
			}
		}
	}
	err := read()
	if err == nil && len(lines) < want {
		// PostgreSQL shows an event once nothing older is still open, its own
		// housekeeping among that. What is still missing then is found by the
		// comparison.
		_ = w.eventually("the events that were committed", func() bool {
			err = read()
			return err != nil || len(lines) >= want
		})
	}
	slices.Sort(lines)
	return lines, err
}
