package sts

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// renewEvery is how old a policy in use becomes (RFC 8461 §3.3 and §10.2).
	renewEvery = 24 * time.Hour
	// renewAgain is when a failed renewal is tried again.
	renewAgain = 6 * time.Hour
	// renewSoon is when one is fetched again that did not change with its id.
	renewSoon = time.Hour
	// inUse is for how many days after its last use a policy is renewed.
	inUse = 30
	// keepExpired is how long the row of a policy stays that no longer holds.
	keepExpired = 7 * 24 * time.Hour

	refreshFirst = 3 * time.Minute
	refreshEvery = time.Hour
	// At once, and in one go.
	refreshers = 4
	slice      = 100
	maxSlices  = 100
)

// due is when a policy is renewed: each day, and before it ends.
func due(h Held) time.Time { return h.Fetched.Add(min(renewEvery, h.MaxAge/2)) }

// Run renews policies until ctx ends.
func (s *Store) Run(ctx context.Context) {
	next := time.NewTimer(refreshFirst)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
				s.o.Logger.Error("MTA-STS policies not renewed, it goes on in an hour", "error", err)
			}
			next.Reset(refreshEvery)
		case <-ctx.Done():
			return
		}
	}
}

// Refresh fetches the policies in use that are a day old, whatever their records
// say, and drops those that ended long ago.
func (s *Store) Refresh(ctx context.Context) error {
	for i := 0; i < maxSlices && s.o.InUse(); i++ {
		domains, err := s.old(ctx)
		if err != nil || len(domains) == 0 {
			return errors.Join(err, s.prune(ctx))
		}
		if err := s.renewAll(ctx, domains); err != nil {
			return err
		}
	}
	return s.prune(ctx)
}

// renewAll renews some at a time.
func (s *Store) renewAll(ctx context.Context, domains []string) error {
	var wg sync.WaitGroup
	work, errs := make(chan string), make([]error, refreshers)
	for i := range refreshers {
		wg.Go(func() {
			for domain := range work {
				errs[i] = errors.Join(errs[i], s.renew(ctx, domain))
			}
		})
	}
	for _, domain := range domains {
		work <- domain
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// What is due in more than a day was fetched under a clock that was wrong.
var sqlOld = db.SQL(`SELECT domain FROM sts_policy
	WHERE (due <= ? OR due > ?) AND expires >= ? AND used >= ? ORDER BY due LIMIT ?`)

func (s *Store) old(ctx context.Context) (domains []string, err error) {
	now := s.o.Now()
	err = s.o.DB.Read(ctx, func(tx *db.Tx) error {
		domains = nil
		rows, err := tx.Query(sqlOld, mail.Micros(now), mail.Micros(now.Add(renewEvery)), mail.Micros(now), day(now)-inUse, slice)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var domain string
			err := r.Scan(&domain)
			domains = append(domains, domain)
			return err
		})
	})
	return domains, err
}

// renew fetches the policy of a domain, if no other process does.
func (s *Store) renew(ctx context.Context, domain string) error {
	l, mine := s.enter(domain)
	for ; !mine; l, mine = s.enter(domain) {
		select {
		case <-l.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	e, err := s.renewed(ctx, domain, s.o.Now())
	s.leave(domain, l, e, err)
	if errors.Is(err, errTaken) {
		return nil
	}
	return err
}

// errTaken says that another process is at it.
var errTaken = errors.New("another process renews this policy")

var sqlClaim = db.SQL("UPDATE sts_policy SET due = ? WHERE domain = ? AND (due <= ? OR due > ?)")

func (s *Store) renewed(ctx context.Context, domain string, now time.Time) (entry, error) {
	r, err := s.load(ctx, domain)
	if err != nil {
		return entry{}, err
	}
	err = s.o.DB.Write(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(sqlClaim, mail.Micros(now.Add(retry(r.Held))), domain, mail.Micros(now), mail.Micros(now.Add(renewEvery)))
		if err == nil && n == 0 {
			return errTaken
		}
		return err
	})
	if err != nil {
		return entry{}, err
	}
	id, err := s.announced(ctx, domain, txtTimeout)
	if err != nil {
		id = r.ID
	}
	e, err := s.fetch(ctx, r, id, now)
	if err == nil && e.Failure != "" && e.Failure == r.Failure && e.Reason == r.Reason {
		s.o.Logger.Warn("MTA-STS policy still not renewed, the last one holds on", "domain", domain, "expires", e.Expires, "error", e.Cause)
	}
	return e, err
}

// retry is how long a policy that was not renewed waits.
func retry(h Held) time.Duration { return max(refreshEvery, min(renewAgain, h.MaxAge/8)) }

var sqlPrune = db.SQL("DELETE FROM sts_policy WHERE domain IN (SELECT domain FROM sts_policy WHERE expires < ? ORDER BY expires LIMIT ?)")

// prune drops what no longer holds, a slice at a time.
func (s *Store) prune(ctx context.Context) error {
	limit := mail.Micros(s.o.Now().Add(-keepExpired))
	for {
		var n int64
		err := s.o.DB.Write(db.WithReserve(ctx), func(tx *db.Tx) (err error) {
			n, err = tx.Exec(sqlPrune, limit, slice)
			return err
		})
		if err != nil || n < slice {
			return err
		}
	}
}
