package sts

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// txtTimeout is for the look at a domain's record.
const txtTimeout = 10 * time.Second

var (
	// errGone is the reason where a policy holds whose record is no longer there.
	errGone = errors.New("the TXT record that announces it is gone")
	errTXT  = errors.New("the TXT record cannot be looked up")
)

// look finds out what holds for a domain: RFC 8461 §3 and §5.1.
func (s *Store) look(ctx context.Context, domain string, now time.Time) (entry, error) {
	r, err := s.find(ctx, domain)
	if err != nil {
		return entry{}, err
	}
	s.use(ctx, r, now)
	e := entry{Held: r.Held, again: again(r.Held, now)}
	id, err := s.announced(ctx, domain, txtTimeout)
	switch {
	case ctx.Err() != nil:
		return entry{}, context.Cause(ctx)
	case errors.Is(err, mtasts.ErrNoRecord):
		// That alone takes no policy back (RFC 8461 §3.1).
		err = errGone
	case err != nil:
		e.again = now.Add(lookSoon)
	case r.ID == id && r.lasts(now):
		return e, nil
	default:
		return s.fetch(ctx, r, id, now)
	}
	if !r.holds(now) {
		e.Held = Held{}
		return e, nil
	}
	s.fail(&e, mtasts.FetchFailed, err)
	s.alert(domain, e, s.before(domain))
	return e, nil
}

// again is when a domain is looked at anew: in a while, and where a policy holds at its
// end at the latest, so that it is renewed before mail goes without it; that is one try
// more than RFC 8461 §3.3 has after a failed fetch. One that is published for less than
// a minute does not count from its end until the minute is over: who wants no more must
// not make us ask all the time.
func again(h Held, now time.Time) time.Time {
	next := now.Add(lookEvery)
	if h.holds(now) && h.Expires.Before(next) {
		next = h.Expires
	}
	if soon := now.Add(lookSoon); next.Before(soon) {
		next = soon
	}
	return next
}

// lasts tells whether the policy holds beyond the next look; else it is fetched anew,
// which leaves time for another try.
func (h Held) lasts(now time.Time) bool { return h.holds(now.Add(lookEvery)) }

// before is what was known of a domain when it was looked at the last time.
func (s *Store) before(domain string) Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mem.entries[domain].Held
}

// announced returns the id that a domain announces; ErrNoRecord says that it
// clearly has none.
func (s *Store) announced(ctx context.Context, domain string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	records, err := s.o.TXT(ctx, "_mta-sts."+domain)
	if errors.Is(err, dnsx.ErrNotFound) || errors.Is(err, dnsx.ErrNoData) {
		return "", mtasts.ErrNoRecord
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errTXT, err)
	}
	return mtasts.RecordID(records)
}

// fetch gets the policy that a domain publishes under an id. If that fails, what
// was had before goes on to hold.
func (s *Store) fetch(ctx context.Context, r row, id string, now time.Time) (entry, error) {
	e := entry{Held: r.Held, again: again(r.Held, now)}
	p, err := s.o.Fetch(ctx, r.domain)
	switch {
	case ctx.Err() != nil:
		return entry{}, context.Cause(ctx)
	case err != nil:
		s.fail(&e, mtasts.Result(err), err)
		s.alert(r.domain, e, r.Held)
		s.stored(r.domain, s.note(ctx, r, e.Held))
		return e, nil
	}
	e.Held = Held{Policy: p, ID: id, Fetched: now, Expires: now.Add(p.MaxAge)}
	e.again = again(e.Held, now)
	next := due(e.Held)
	if r.holds(now) && r.ID != id && r.Text() == p.Text() {
		// Whoever announces a policy before publishing it gets another look soon
		// (RFC 8461 §8.1).
		next = now.Add(min(renewSoon, p.MaxAge/2))
	}
	s.stored(r.domain, s.save(ctx, r.domain, e.Held, next)) // if not, it is fetched again in a while
	s.o.Logger.Info("MTA-STS policy fetched", "domain", r.domain, "mode", string(p.Mode), "id", id, "expires", e.Expires)
	return e, nil
}

func (s *Store) stored(domain string, err error) {
	if err != nil {
		s.o.Logger.Warn("MTA-STS policy not stored", "domain", domain, "error", err)
	}
}

// fail adds what went wrong. A policy that is on its way out may not be there any
// more (RFC 8461 §8.3).
func (s *Store) fail(e *entry, result string, err error) {
	if e.Mode != mtasts.None {
		e.Failure, e.Reason, e.Cause = result, inWords(public(err)), inWords(err.Error())
	}
}

// public is an error in words for strangers: of a look-up, what the resolver said, and
// where that is, is not for them.
func public(err error) string {
	for _, known := range []error{errGone, errTXT} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return mtasts.Public(err)
}

// alert tells operators of a policy that holds and was not renewed, once: somebody
// may want it to end (RFC 8461 §10.2).
func (s *Store) alert(domain string, e entry, before Held) {
	switch {
	case e.Failure == before.Failure && e.Reason == before.Reason:
	case e.holds(s.o.Now()):
		s.o.Logger.Warn("MTA-STS policy not renewed, the last one holds on", "domain", domain, "expires", e.Expires, "error", e.Cause)
	default:
		s.o.Logger.Info("MTA-STS policy announced, but it cannot be had", "domain", domain, "error", e.Cause)
	}
}

// inWords is what may be stored and shown: bounded, printable text.
func inWords(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300])
	}
	return text
}
