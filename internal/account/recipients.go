package account

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

var (
	sqlListed          = db.SQL("SELECT count(*) FROM relay_recipient WHERE domain = ? AND key IN (?, ?)")
	sqlRecipients      = db.SQL("SELECT key FROM relay_recipient WHERE domain = ? ORDER BY key")
	sqlRecipientsAfter = db.SQL("SELECT key FROM relay_recipient WHERE domain = ? AND key > ? ORDER BY key LIMIT ?")
	sqlCountRecipients = db.SQL("SELECT count(*) FROM relay_recipient WHERE domain = ?")
	sqlRemoveRecipient = db.SQL("DELETE FROM relay_recipient WHERE domain = ? AND key = ?")
	sqlClearRecipients = db.SQL("DELETE FROM relay_recipient WHERE domain = ?")
)

// maxRecipients bounds the list of one domain: an import holds it in memory, and
// writes it in one commit for which others wait.
const maxRecipients = 200_000

// ErrNoRecipient says that an address is not in the list of its domain.
var ErrNoRecipient = errors.New("the address is not in the list")

var errTooMany = fmt.Errorf("the list of a domain has at most %d addresses: with more of them, use '--recipients ask'", maxRecipients)

// listed tells whether an address, or what it is without its tag, is in the list of
// its domain.
func listed(tx *db.Tx, a mail.Address) (bool, error) {
	keys := names(a)
	var n int
	err := tx.Row(sqlListed, []any{a.Domain.ASCII, keys[0], keys[len(keys)-1]}, &n)
	return n > 0, err
}

// onList changes the list of a relay domain. ErrNoDomain and ErrNotRelay say what is
// wrong.
func (d *Directory) onList(ctx context.Context, dom mail.Domain, fn func(*db.Tx) error) error {
	return d.change(ctx, func(tx *db.Tx) error {
		of, err := standingOf(tx, dom.ASCII)
		switch {
		case err != nil:
			return err
		case !of.ours():
			return ErrNoDomain
		case of.relay == nil:
			return ErrNotRelay
		}
		return fn(tx)
	})
}

// AddRecipient puts an address into the list of its relay domain; ErrExists if it is
// there.
func (d *Directory) AddRecipient(ctx context.Context, a mail.Address) error {
	return d.onList(ctx, a.Domain, func(tx *db.Tx) error {
		var n int
		if err := tx.Row(sqlCountRecipients, []any{a.Domain.ASCII}, &n); err != nil {
			return err
		}
		if n >= maxRecipients {
			return errTooMany
		}
		return exists(insertRecipients(tx, []any{a.Domain.ASCII, a.Key()}))
	})
}

func insertRecipients(tx *db.Tx, rows ...[]any) error {
	return tx.Insert(db.Insert{Into: "relay_recipient", Columns: []string{"domain", "key"}}, rows...)
}

// RemoveRecipient takes an address out of the list; ErrNoRecipient if it is not there.
func (d *Directory) RemoveRecipient(ctx context.Context, a mail.Address) error {
	return d.onList(ctx, a.Domain, func(tx *db.Tx) error {
		return deleted(ErrNoRecipient)(tx.Exec(sqlRemoveRecipient, a.Domain.ASCII, a.Key()))
	})
}

// Recipients lists up to limit addresses of a relay domain by name, those behind after.
func (d *Directory) Recipients(ctx context.Context, dom mail.Domain, after string, limit int) (out []string, err error) {
	err = d.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		out, err = texts(tx, sqlRecipientsAfter, dom.ASCII, after, limit)
		return err
	})
	return out, err
}

// Imported is what an import did.
type Imported struct {
	Listed  int `json:"listed"` // now
	Added   int `json:"added"`
	Removed int `json:"removed"`
}

// ImportRecipients replaces the list of a relay domain in one commit by what r has: an
// address a line; empty lines and those that begin with # do not count. A line that is
// no address of the domain is an error that names it, and nothing changes.
func (d *Directory) ImportRecipients(ctx context.Context, dom mail.Domain, r io.Reader) (Imported, error) {
	keys, err := readRecipients(dom, r)
	if err != nil {
		return Imported{}, err
	}
	var done Imported
	err = d.onList(ctx, dom, func(tx *db.Tx) error {
		had, err := texts(tx, sqlRecipients, dom.ASCII)
		if err != nil {
			return err
		}
		gone, fresh := difference(had, keys), difference(keys, had)
		done = Imported{Listed: len(keys), Added: len(fresh), Removed: len(gone)}
		for _, key := range gone {
			if _, err := tx.Exec(sqlRemoveRecipient, dom.ASCII, key); err != nil {
				return err
			}
		}
		rows := make([][]any, 0, len(fresh))
		for _, key := range fresh {
			rows = append(rows, []any{dom.ASCII, key})
		}
		return insertRecipients(tx, rows...)
	})
	return done, err
}

// difference is what a has and b has not.
func difference(a, b []string) (out []string) {
	has := make(map[string]bool, len(b))
	for _, s := range b {
		has[s] = true
	}
	for _, s := range a {
		if !has[s] {
			out = append(out, s)
		}
	}
	return out
}

// maxRecipientLine bounds a line of an import in octets.
const maxRecipientLine = 1000

// readRecipients returns the keys of a list, sorted, each once.
func readRecipients(dom mail.Domain, r io.Reader) ([]string, error) {
	var keys []string
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, maxRecipientLine), maxRecipientLine)
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // programs of Windows begin files with it
		}
		if text == "" || text[0] == '#' {
			continue
		}
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %.200q: %w", n, text, err)
		}
		if a.Domain != dom {
			return nil, fmt.Errorf("line %d: %s is of another domain", n, a)
		}
		if len(keys) >= maxRecipients {
			return nil, errTooMany
		}
		keys = append(keys, a.Key())
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}
