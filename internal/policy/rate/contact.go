package rate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// contact is an address that an account wrote to, as a hash: whom our users
// write to is nobody's business, and 64 bits are enough for a limit.
type contact struct {
	account mail.ID
	hash    int64
}

func contactOf(account mail.ID, a mail.Address) contact {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(a.Key()), uint64(account)))
	return contact{account, int64(binary.BigEndian.Uint64(sum[:8]))}
}

const (
	// contactDays is how long an address is known.
	contactDays = 30
	// maxContacts bounds those whose day is in memory; beyond, all are
	// forgotten and looked up again.
	maxContacts = 50_000

	neverWritten = -1
	// untracked is the day of those that are not kept, because no limit asks.
	untracked = -2
)

// look finds out whether a recipient is new to the account.
func (r *Reservation) look(ctx context.Context, a mail.Address, defaults map[Kind]Limits) (said, error) {
	tracked := false
	err := r.l.with(ctx, r.names, func(_ int64, list []*subject) {
		for i, s := range list {
			limits := s.limits(defaults[r.names[i].Kind])
			for n, rule := range ruleTable {
				tracked = tracked || rule.Measure == NewRecipients && limits[n] > 0
			}
		}
	})
	if err != nil || !tracked {
		return said{day: untracked}, err
	}
	to := said{contact: contactOf(r.sender.Account, a)}
	for _, before := range r.contacts {
		if before.contact == to.contact {
			return said{contact: to.contact, day: untracked}, nil
		}
	}
	to.day, err = r.l.writtenTo(ctx, to.contact)
	to.fresh = to.day < r.l.clock.oldest()/minutesPerDay-contactDays
	return to, err
}

var sqlContact = db.SQL("SELECT day FROM send_contact WHERE account = ? AND hash = ?")

// writtenTo returns the day of the last message to a contact.
func (l *Limiter) writtenTo(ctx context.Context, c contact) (day int64, err error) {
	l.mu.Lock()
	day, known := l.contacts[c]
	l.mu.Unlock()
	if known {
		return day, nil
	}
	err = l.o.DB.Read(ctx, func(tx *db.Tx) error { return tx.Row(sqlContact, []any{c.account, c.hash}, &day) })
	if errors.Is(err, db.ErrNoRows) {
		return neverWritten, nil
	}
	if err == nil {
		l.remember(c, day)
	}
	return day, err
}

func (l *Limiter) remember(c contact, day int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.contacts) >= maxContacts {
		clear(l.contacts)
	}
	l.contacts[c] = max(day, l.contacts[c])
}
