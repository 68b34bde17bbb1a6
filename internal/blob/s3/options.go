package s3

import (
	"log/slog"
	"os"
	"time"

	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Defaults of Options.
const (
	DefaultGrace      = time.Hour
	DefaultErase      = 30 * 24 * time.Hour
	DefaultCacheSize  = 64 << 20
	DefaultPartSize   = 16 << 20
	DefaultObjectSize = 8 << 20
	DefaultTimeout    = 30 * time.Second
	DefaultRetries    = 3
)

const (
	// minPart is the least that the protocol allows for a part.
	minPart = 5 << 20
	// maxParts is how many parts the protocol allows.
	maxParts = 10_000
	// recordWithin is how long a body may wait between Commit and Record.
	recordWithin = time.Hour
	// strangerAfter is how old an object is at least before another process
	// than the one that wrote it may take it for abandoned. It exceeds all
	// that may pass between an intent and the last Record.
	strangerAfter = 4 * time.Hour
	// reserveLife is for how long a reserved intent is used.
	reserveLife = 15 * time.Minute
	// uploadMax is the longest that the upload of a large body takes.
	uploadMax = time.Hour
)

// Options are what a store needs. Location, the keys, DB and IDs have no default.
type Options struct {
	Location
	AccessKey, SecretKey string

	DB     db.DB // already migrated with Schema
	IDs    *mail.IDs
	Logger *slog.Logger // nil = silent

	// Spool is a folder for bodies above blob.InMemory while they are written;
	// what is in it is worth nothing after a crash. "" = the system's.
	Spool string
	// Grace is how old a body is at least before a sweep deletes it, and how
	// long the object of bodies that are gone stays at least.
	Grace time.Duration
	// Erase is the longest that the bytes of a deleted body stay in an object
	// in which others live.
	Erase time.Duration
	// CacheSize is how many octets of bodies that were read are kept in memory.
	CacheSize int64
	// PartSize is in what pieces a large body is sent.
	PartSize int64
	// ObjectSize is how many octets of small bodies share an object.
	ObjectSize int64
	// Timeout is how long one request may take, Retries how often one that may
	// work the next time is repeated.
	Timeout time.Duration
	Retries int // negative = never

	Memory   staging.Memory // nil = no limit on bodies being written
	Observer Observer       // zero = nobody watches

	stranger time.Duration // 0 = strangerAfter
	late     time.Duration // how long a request may take to land; 0 = the longer of Grace and an hour
	probe    time.Duration // how often a service that failed is tried; 0 = 5 s
}

// Observer is told what happens. Its functions may be nil; they must not block.
type Observer struct {
	// Put is called after each object that was stored: how many bodies and
	// octets share it and how long it took.
	Put func(bodies int, octets int64, took time.Duration)
}

func orElse[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

func (o *Options) setDefaults() {
	orElse(&o.Grace, DefaultGrace)
	orElse(&o.Erase, DefaultErase)
	orElse(&o.CacheSize, DefaultCacheSize)
	orElse(&o.PartSize, DefaultPartSize)
	orElse(&o.ObjectSize, DefaultObjectSize)
	orElse(&o.Timeout, DefaultTimeout)
	orElse(&o.Retries, DefaultRetries)
	orElse(&o.stranger, max(strangerAfter, o.Grace))
	orElse(&o.late, max(time.Hour, o.Grace))
	orElse(&o.probe, 5*time.Second)
	o.PartSize = max(o.PartSize, minPart)
	o.Retries = max(0, o.Retries)
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	if o.Spool == "" {
		o.Spool = os.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// under is the key of a name under the prefix.
func (o *Options) under(name string) string {
	if o.Prefix == "" {
		return name
	}
	return o.Prefix + "/" + name
}
