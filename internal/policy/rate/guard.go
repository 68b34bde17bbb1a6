package rate

import (
	"context"
	"fmt"

	"github.com/hayauma/hayauma/internal/mail"
)

// What makes a change sudden. An account that was broken into sends as much as
// it can to addresses that were bought somewhere, so that many do not exist; one
// who writes to a large club once a year sends much as well, but to people who
// are there.
const (
	// suddenTimes is how often the best hour it usually has.
	suddenTimes = 10
	// The best hour is taken for at least this good, so that one who sends
	// little may send ten times as much.
	leastMessages   = 10
	leastRecipients = 50
	// minFailed results within an hour, and failedPercent of all.
	minFailed     = 20
	failedPercent = 20
)

// results are how an account's mail fared in the last hour.
type results struct {
	window
	seen int64
}

// The counts of results.
const (
	allResults    = 0
	failedResults = 1
)

// Observe takes in how a recipient of an account fared: delivered, or refused
// for good by the other side. Results that were put off do not count.
func (l *Limiter) Observe(account mail.ID, refused bool) {
	if account == 0 {
		return
	}
	now := l.clock.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.results[account]
	if r == nil {
		r = &results{window: newWindow(Hour, now)}
		l.results[account] = r
	}
	r.seen = now
	c := counts{allResults: 1}
	if refused {
		c[failedResults] = 1
	}
	r.add(now, c)
	if refused && manyFailed(r.sum(now)) {
		l.suspects[account] = true
		l.signal()
	}
}

func manyFailed(c counts) bool {
	return c[failedResults] >= minFailed && int64(c[failedResults])*100 >= int64(c[allResults])*failedPercent
}

// guard judges those whose results are bad and holds the accounts that send
// suddenly, with their queues; those that ended are forgotten.
func (l *Limiter) guard(ctx context.Context) {
	for _, account := range l.takeSuspects() {
		if err := l.suspect(ctx, account); err != nil {
			l.failed(ctx, "judge an account", err)
			l.mu.Lock()
			l.suspects[account] = true
			l.mu.Unlock()
		}
	}
	l.failed(ctx, "forget accounts", l.eraseSoon(ctx))
	l.failed(ctx, "hold accounts", l.hold(ctx))
	l.failed(ctx, "hold the queues of accounts", l.settle(ctx))
}

func (l *Limiter) takeSuspects() (list []mail.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for account := range l.suspects {
		list = append(list, account)
	}
	clear(l.suspects)
	return list
}

// suspect stops an account at once if it sends suddenly; the row follows.
func (l *Limiter) suspect(ctx context.Context, account mail.ID) error {
	today := l.clock.oldest() / minutesPerDay
	return l.with(ctx, []Subject{ForAccount(account)}, func(now int64, list []*subject) {
		s := list[0]
		r := l.results[account]
		if s.held || r == nil {
			return
		}
		sent, fared := s.windows[Hour].sum(now), r.sum(now)
		// What was sent long before, to be released now, shows in its results alone.
		sent[Recipients] = max(sent[Recipients], fared[allResults])
		if manyFailed(fared) && sudden(sent, s.usual.quiet(today-1)) {
			s.held = true
			l.sudden[account] = fmt.Sprintf("%d messages to %d recipients within an hour, where %d to %d are usual; %d of %d results were refusals",
				sent[Messages], sent[Recipients], s.usual.messages/scale, s.usual.recipients/scale, fared[failedResults], fared[allResults])
		}
	})
}

// sudden tells whether an hour is far beyond what is usual.
func sudden(sent counts, u usual) bool {
	return int64(sent[Messages])*scale > suddenTimes*max(u.messages, leastMessages*scale) ||
		int64(sent[Recipients])*scale > suddenTimes*max(u.recipients, leastRecipients*scale)
}
