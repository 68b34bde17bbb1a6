package source

import (
	"context"

	"github.com/hayauma/hayauma/internal/db"
)

// coldAfter is after how many days without mail an address is new to a provider
// again, if its warm-up had not come to its end: those who publish schedules say
// about a month.
const coldAfter = 30

var deleteIdle = db.SQL("DELETE FROM source_sent WHERE address = ? AND day < ? AND step < ?")

// Sweep forgets how far the warm-up was with providers that nothing was sent to for
// long. Whoever runs it every day bounds what is kept. How long it is the earlier of two
// clocks tells, so that one that jumps ahead for a moment makes no address new.
func (s *Store) Sweep(ctx context.Context) error {
	oldest := min(dayOf(s.o.Now()), dayOf(s.started.Add(s.o.Steady()))) - coldAfter
	for _, p := range s.Pools() {
		for _, a := range p.Addresses {
			if a.Since == 0 {
				continue
			}
			err := s.o.DB.Write(ctx, func(tx *db.Tx) error {
				n, err := tx.Exec(deleteIdle, a.Addr.String(), oldest, len(p.schedule()))
				if err != nil || n == 0 {
					return err
				}
				tx.OnCommit(func() { s.forget(a, oldest, len(p.schedule())) })
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) forget(a Address, oldest int64, steps int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, p := range s.pairs {
		if k.addr == a.Addr && p.day < oldest && p.step < steps && p.out == 0 {
			delete(s.pairs, k)
		}
	}
}
