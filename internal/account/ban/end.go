package ban

import (
	"context"
	"time"
)

// end takes an attempt back, or draws the consequences of how it ended. What has
// to be kept is kept whether the peer is still there or not.
func (l *List) end(ctx context.Context, t *trial, o Outcome) (f Failed) {
	ctx = context.WithoutCancel(ctx)
	switch o {
	case Success:
		l.succeeded(ctx, t)
	case Failure:
		return l.failed(ctx, t)
	default:
		l.mu.Lock()
		l.leave(t)
		l.mu.Unlock()
	}
	return f
}

// leave ends an attempt where it counted as under way. l.mu is held.
func (l *List) leave(t *trial) {
	for _, r := range t.taken {
		r.checked--
		r.wake()
		l.records.settle(r)
	}
}

// failed counts a failure.
func (l *List) failed(ctx context.Context, t *trial) Failed {
	f := Failed{Door: t.Door, Name: t.pair.name, Peer: t.Peer, Network: t.network()}
	if len(t.taken) > 0 {
		if ban := l.count(ctx, t, &f); ban != nil {
			f.Until = ban.until
			l.storeBan(ctx, t.pair, ban)
		}
	}
	return f
}

// count counts a failure and returns the ban that it begins, or nil.
func (l *List) count(ctx context.Context, t *trial, f *Failed) (ban *sentence) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.leave(t)
	if !t.asked {
		// Where the table cannot be read nobody is known.
		_ = l.ask(ctx, t)
	}
	now := l.now()
	pair := t.taken[0]
	pair.tally.advance(now)
	first := pair.tally.failures() == 0
	l.records.fail(pair, first, now)
	pair.known = t.known
	f.Known, f.Failures = t.known, pair.tally.failures()
	if t.known {
		return nil
	}
	// Who was not known when he began counts for his networks as well.
	for i, network := range t.taken[1:] {
		l.records.fail(network, first && i == 0, now)
	}
	if f.Failures >= l.banLimit() && !pair.ban.active() && l.limit > 0 {
		return l.convict(pair, f.Failures)
	}
	return nil
}

// convict begins a ban.
func (l *List) convict(r *record, failures int) *sentence {
	began := time.Now()
	ban := &sentence{count: 1, failures: failures, began: began}
	if before := r.ban; before != nil && began.Sub(before.until) < repeatsFor {
		ban.count += before.count
	}
	ban.until = began.Add(sentenceOf(ban.count))
	l.records.convict(r, ban)
	l.version++
	return ban
}

// succeeded lets a pair start afresh and makes it known.
func (l *List) succeeded(ctx context.Context, t *trial) {
	if !t.network().IsValid() {
		return
	}
	l.mu.Lock()
	banned := false
	if len(t.taken) > 0 {
		if banned = t.taken[0].ban != nil; banned {
			l.version++
		}
		l.records.absolve(t.taken[0])
	}
	l.leave(t)
	noted := time.Since(l.noted[t.pair]) < noteEvery
	if !noted {
		if len(l.noted) >= maxNoted {
			clear(l.noted)
		}
		// At once, so that many logins at the same moment write once.
		l.noted[t.pair] = time.Now()
	}
	l.mu.Unlock()
	if banned {
		l.dropBan(ctx, t.pair)
	}
	if !noted {
		l.note(ctx, t.pair)
	}
}
