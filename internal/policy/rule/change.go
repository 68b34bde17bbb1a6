package rule

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Place is where in the order a rule is put: before another one, or at a number
// from 1. The zero Place is the end.
type Place struct {
	Before string `json:"before,omitempty"`
	At     int    `json:"at,omitempty"`
}

// Check tells what is wrong with a place.
func (p Place) Check() error {
	if p.At < 0 || p.Before != "" && p.At != 0 {
		return ErrPlace
	}
	return nil
}

// entry is what the order is about.
type entry struct {
	id       mail.ID
	name     string
	position int
}

// index is where among the others a rule is put.
func (p Place) index(others []entry) (int, error) {
	if err := p.Check(); err != nil {
		return 0, err
	}
	switch {
	case p.At > 0:
		return min(p.At-1, len(others)), nil
	case p.Before == "":
		return len(others), nil
	}
	at := find(others, p.Before)
	if at < 0 {
		return 0, fmt.Errorf("before %s: %w", p.Before, ErrNoRule)
	}
	return at, nil
}

func find(list []entry, name string) int {
	return slices.IndexFunc(list, func(e entry) bool { return e.name == name })
}

var (
	sqlIDs      = db.SQL("SELECT id, name, position FROM policy_rule ORDER BY position, id")
	sqlPosition = db.SQL("UPDATE policy_rule SET position = ? WHERE id = ?")
	sqlSwitch   = db.SQL("UPDATE policy_rule SET disabled = ? WHERE name = ?")
	sqlRemove   = db.SQL("DELETE FROM policy_rule WHERE id = ?")
)

// Add puts a new rule in its place and returns it as it is kept. It holds from
// the next transaction on. ErrExists, ErrMany and Rule.Check say what is wrong.
func (s *Store) Add(ctx context.Context, r Rule, p Place) (Rule, error) {
	if err := r.Check(); err != nil {
		return r, err
	}
	r.ID = s.o.IDs.Next()
	err := s.reorder(ctx, func(tx *db.Tx, list []entry) ([]entry, error) {
		if len(list) >= maxRules {
			return nil, ErrMany
		}
		at, err := p.index(list)
		if err != nil {
			return nil, err
		}
		r.Position = at + 1
		if err := insert(tx, r); errors.Is(err, db.ErrConflict) {
			return nil, ErrExists
		} else if err != nil {
			return nil, err
		}
		return slices.Insert(list, at, entry{id: r.ID, name: r.Name, position: r.Position}), nil
	})
	return r, err
}

// Remove ends a rule.
func (s *Store) Remove(ctx context.Context, name string) error {
	return s.reorder(ctx, func(tx *db.Tx, list []entry) ([]entry, error) {
		at := find(list, name)
		if at < 0 {
			return nil, ErrNoRule
		}
		_, err := tx.Exec(sqlRemove, list[at].id)
		return slices.Delete(list, at, at+1), err
	})
}

// Move puts a rule in another place and returns its new position.
func (s *Store) Move(ctx context.Context, name string, p Place) (position int, err error) {
	err = s.reorder(ctx, func(_ *db.Tx, list []entry) ([]entry, error) {
		from := find(list, name)
		if from < 0 {
			return nil, ErrNoRule
		}
		if p.Before == name {
			return nil, errors.New("a rule cannot stand before itself")
		}
		moved := list[from]
		list = slices.Delete(list, from, from+1)
		at, err := p.index(list)
		if err != nil {
			return nil, err
		}
		position = at + 1
		return slices.Insert(list, at, moved), nil
	})
	return position, err
}

// Switch lets a rule be asked, or keeps it without asking it.
func (s *Store) Switch(ctx context.Context, name string, on bool) error {
	return s.change(ctx, func(tx *db.Tx) error {
		n, err := tx.Exec(sqlSwitch, !on, name)
		if err == nil && n == 0 {
			err = ErrNoRule
		}
		return err
	})
}

// change runs a write and has the rules read anew, here and in other processes.
func (s *Store) change(ctx context.Context, fn func(*db.Tx) error) error {
	return s.o.DB.Write(ctx, func(tx *db.Tx) error {
		tx.OnCommit(func() {
			s.forget()
			s.o.DB.Announce(noticeTopic, 0)
		})
		return fn(tx)
	})
}

// reorder gives fn the order as it is and writes what it makes of it. The rows
// are locked meanwhile: two who reorder do so one after the other.
func (s *Store) reorder(ctx context.Context, fn func(*db.Tx, []entry) ([]entry, error)) error {
	return s.change(ctx, func(tx *db.Tx) error {
		list, err := order(tx)
		if err != nil {
			return err
		}
		ids := make([]int64, 0, len(list))
		for _, e := range list {
			ids = append(ids, int64(e.id))
		}
		if err := tx.Lock("policy_rule", "id", ids); err != nil {
			return err
		}
		if list, err = order(tx); err != nil {
			return err
		}
		if list, err = fn(tx, list); err != nil {
			return err
		}
		return renumber(tx, list)
	})
}

func order(tx *db.Tx) ([]entry, error) {
	rows, err := tx.Query(sqlIDs)
	if err != nil {
		return nil, err
	}
	var list []entry
	err = db.Each(rows, func(r db.Rows) error {
		var e entry
		err := r.Scan(&e.id, &e.name, &e.position)
		list = append(list, e)
		return err
	})
	return list, err
}

func renumber(tx *db.Tx, list []entry) error {
	for i, e := range list {
		if e.position == i+1 {
			continue
		}
		if _, err := tx.Exec(sqlPosition, i+1, e.id); err != nil {
			return err
		}
	}
	return nil
}
