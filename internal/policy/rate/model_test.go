package rate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

// modelLimits are small, so that all of them are reached.
func modelLimits() map[string]int64 {
	return map[string]int64{
		"messages_per_minute": 3, "messages_per_hour": 7, "messages_per_day": 15,
		"recipients_per_minute": 6, "recipients_per_hour": 12, "recipients_per_day": 20,
	}
}

// past is one message of the model: when it was accepted and to how many.
type past struct {
	at         time.Duration
	recipients int64
}

// model is what an account has sent, message by message.
type model struct {
	w       *world
	account mail.ID
	sent    []past
	open    []*rate.Reservation // being accepted, with their recipients
	to      []int64
	idle    []*rate.Reservation // standing open, with theirs
	idleTo  []int64
	blur    time.Duration // by which a restart may keep what was sent for longer
}

func (m *model) now() time.Duration {
	m.w.hands.mu.Lock()
	defer m.w.hands.mu.Unlock()
	return m.w.hands.steady
}

// within sums up what was accepted after a time.
func (m *model) within(r rate.Rule, span time.Duration) (n int64) {
	for _, p := range m.sent {
		if m.now()-p.at >= span {
			continue
		}
		if r.Measure == rate.Messages {
			n++
		} else {
			n += p.recipients
		}
	}
	return n
}

func (m *model) pending(r rate.Rule) (n int64) {
	for _, k := range m.to {
		if r.Measure == rate.Messages {
			n++
		} else {
			n += k
		}
	}
	return n
}

// spanOf is a span and the slot by which it may be exceeded.
func spanOf(s rate.Span) (span, slot time.Duration) {
	switch s {
	case rate.Minute:
		return time.Minute, 5 * time.Second
	case rate.Hour:
		return time.Hour, 5 * time.Minute
	default:
		return 24 * time.Hour, time.Hour
	}
}

// full tells whether a refusal of a message to k recipients is due to a limit: with
// what may still count, and with what is being accepted where that is in the way.
func (m *model) full(k int64, pending bool) bool {
	limits := modelLimits()
	for _, r := range rate.Rules() {
		limit, set := limits[r.Name]
		if !set {
			continue
		}
		span, slot := spanOf(r.Span)
		want := k
		if r.Measure == rate.Messages {
			want = 1
		}
		have := m.within(r, span+slot+m.blur)
		if pending {
			have += m.pending(r)
		}
		if have+want > limit {
			return true
		}
	}
	return false
}

// over names a limit that was exceeded within its span.
func (m *model) over() string {
	limits := modelLimits()
	for _, r := range rate.Rules() {
		span, _ := spanOf(r.Span)
		if limit, set := limits[r.Name]; set && m.within(r, span) > limit {
			return r.Name
		}
	}
	return ""
}

func (m *model) begin(t *rapid.T) {
	k := rapid.Int64Range(1, 4).Draw(t, "recipients")
	var list []mail.Address
	for i := range k {
		list = append(list, to(int(i)))
	}
	r, fault := m.w.open(from(m.account), list...)
	if fault == nil {
		m.idle, m.idleTo = append(m.idle, r), append(m.idleTo, k)
		return
	}
	if fault.Enhanced() != "4.7.1" || !m.full(k, false) {
		t.Fatalf("refused without a reason: %v", fault)
	}
}

// keep has one that stands open accepted.
func (m *model) keep(t *rapid.T) {
	if len(m.idle) == 0 {
		return
	}
	r, k := m.idle[0], m.idleTo[0]
	m.idle, m.idleTo = m.idle[1:], m.idleTo[1:]
	fault := r.Keep(context.Background())
	if fault == nil {
		m.open, m.to = append(m.open, r), append(m.to, k)
		return
	}
	crowded := strings.Contains(fault.Public, "under way")
	if fault.Enhanced() != "4.7.1" || !m.full(k, crowded) {
		t.Fatalf("refused without a reason: %v", fault)
	}
}

// end commits or gives up the oldest message under way.
func (m *model) end(t *rapid.T, accept bool) {
	if len(m.open) == 0 {
		return
	}
	r, k := m.open[0], m.to[0]
	m.open, m.to = m.open[1:], m.to[1:]
	if accept {
		m.w.must(m.w.commit(r))
		m.sent = append(m.sent, past{m.now(), k})
	}
	r.Release()
	if rule := m.over(); rule != "" {
		t.Fatalf("%s was exceeded", rule)
	}
}

// TestModel sends at random and compares with a list of all messages. Never is a
// limit exceeded, in any span and over restarts; and nobody is refused for what
// was sent longer ago than a span and its slot. Where the server restarts, the
// minute in which something was sent is all that is left of its time; where it
// does not, the wall clock may step as it likes.
func TestModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, modelLimits())
	account := mail.ID(5000)
	rapid.Check(t, func(t *rapid.T) {
		account++
		m := &model{w: w, account: account}
		steps := rapid.Bool().Draw(t, "the clock steps")
		t.Repeat(map[string]func(*rapid.T){
			"begin":  m.begin,
			"begin ": m.begin,
			"keep":   m.keep,
			"keep ":  m.keep,
			"accept": func(t *rapid.T) { m.end(t, true) },
			"reject": func(t *rapid.T) { m.end(t, false) },
			"wait": func(t *rapid.T) {
				span := rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, time.Minute, 20 * time.Minute, time.Hour, 9 * time.Hour}).Draw(t, "span")
				w.hands.pass(time.Duration(rapid.Int64Range(0, int64(span)).Draw(t, "wait")))
			},
			"restart or step": func(t *rapid.T) {
				if steps {
					w.hands.set(rapid.SampledFrom([]time.Duration{-48 * time.Hour, -time.Hour, time.Minute, 30 * time.Hour}).Draw(t, "step"))
					return
				}
				w.restart()
				m.open, m.to, m.idle, m.idleTo, m.blur = nil, nil, nil, nil, time.Minute
			},
			"sweep": func(t *rapid.T) { w.must(w.Sweep(t.Context())) },
		})
		w.restart() // the next one begins with what this one left
	})
}
