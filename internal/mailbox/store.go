package mailbox

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Errors of this package. Everything else is unknown and so temporary.
var (
	ErrNoMailbox     = errors.New("no such mailbox")
	ErrNoSelect      = errors.New("the mailbox only holds other mailboxes")
	ErrMailboxExists = errors.New("a mailbox of this name exists already")
	ErrBadName       = errors.New("not a valid mailbox name")
	ErrNotAllowed    = errors.New("not possible with this mailbox")
	ErrHasChildren   = errors.New("the mailbox holds other mailboxes")
	ErrTooMany       = errors.New("the account has too many mailboxes or subscriptions")
	ErrReadOnly      = errors.New("the mailbox was opened for reading only")
	ErrOverQuota     = errors.New("the account is over its quota")
	ErrBadKeyword    = errors.New("not a valid keyword, or too many of them")
	ErrNoMessage     = errors.New("no such message")
)

// Options are what a Store works with. DB, Blobs and IDs must be given.
type Options struct {
	DB     db.DB
	Blobs  blob.Store
	IDs    *mail.IDs
	Logger *slog.Logger

	// Quota is an account's quota in octets, 0 for none. A nil function means
	// that no account has one.
	Quota func(ctx context.Context, account mail.ID) (int64, error)

	Mailboxes int // per account, and as many subscriptions; default 5000
	NameBytes int // of a whole name in UTF-8; default 500
	Depth     int // levels of a name; default 20
}

// Store is the mailboxes of all accounts. Its methods may be called from many
// goroutines.
type Store struct {
	db       db.DB
	blobs    blob.Store
	ids      *mail.IDs
	log      *slog.Logger
	quota    func(ctx context.Context, account mail.ID) (int64, error)
	limits   limits
	hub      *hub
	reserved reservations
}

type limits struct {
	mailboxes, nameBytes, depth int
}

// New returns the Store of a database whose tables exist.
func New(o Options) *Store {
	s := &Store{
		db: o.DB, blobs: o.Blobs, ids: o.IDs, log: o.Logger, quota: o.Quota,
		limits: limits{mailboxes: o.Mailboxes, nameBytes: o.NameBytes, depth: o.Depth},
		hub:    newHub(),
	}
	s.reserved.octets = make(map[mail.ID]int64)
	for _, l := range []struct {
		limit *int
		def   int
	}{{&s.limits.mailboxes, 5000}, {&s.limits.nameBytes, 500}, {&s.limits.depth, 20}} {
		if *l.limit <= 0 {
			*l.limit = l.def
		}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.quota == nil {
		s.quota = func(context.Context, mail.ID) (int64, error) { return 0, nil }
	}
	return s
}

func nowMicros() int64 { return mail.Micros(time.Now()) }
