// Package returnpath makes the envelope senders under which mail leaves, so that a
// report that comes back names its message, and knows them again.
package returnpath

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// Mode is what a return path is.
type Mode string

// The modes.
const (
	Sender Mode = "sender" // the sender's own address
	Unique Mode = "unique" // one for each message
	VERP   Mode = "verp"   // one for each recipient of each message
)

// Settings are what may change by a reload.
type Settings struct {
	Mode Mode
	// Domain is that of the addresses. Zero = the sender's own, if it is ours, so
	// that SPF still speaks for the domain that people see; other senders keep theirs.
	Domain mail.Domain
}

// Options are what Paths are made of.
type Options struct {
	Settings func() Settings
	Key      func(context.Context) ([]byte, error) // proves that an address was made here
	IsLocal  func(context.Context, mail.Domain) (bool, error)
}

// Paths makes and reads return paths. It may be used by many goroutines.
type Paths struct{ o Options }

// New returns Paths.
func New(o Options) *Paths { return &Paths{o: o} }

const (
	// prefix begins the local part of every return path.
	prefix = "b+"
	// idLen is an id as text.
	idLen = 13
	// markLen names a recipient among those of one message: 40 bits as text.
	markLen = 8
	// proofLen is how much of the MAC stands in the address: 80 bits as text. Who
	// guesses needs a connection for each hundred guesses.
	proofLen = 16
	// maxPath is the longest address that every host takes (RFC 5321 §4.5.3.1.3).
	maxPath = 254
)

// From is the envelope sender under which a message leaves for a recipient; alone
// says that it is for that recipient only. The null sender stays null (RFC 5321
// §4.5.5).
func (p *Paths) From(ctx context.Context, message mail.ID, from, to mail.Address) (path mail.Address, alone bool, err error) {
	set := p.o.Settings()
	if from.IsNull() || set.Mode != Unique && set.Mode != VERP {
		return from, false, nil
	}
	domain := set.Domain
	if domain.IsZero() {
		if ours, err := p.o.IsLocal(ctx, from.Domain); err != nil || !ours {
			return from, false, err
		}
		domain = from.Domain
	}
	key, err := p.o.Key(ctx)
	if err != nil {
		return from, false, err
	}
	t := Token{Message: message, key: key}
	if set.Mode == VERP {
		t.mark = t.markOf(to)
	}
	path = mail.Address{Local: prefix + message.String() + t.mark + t.proof(), Domain: domain}
	if len(path.ASCII()) > maxPath {
		return from, false, nil
	}
	return path, set.Mode == VERP, nil
}

// EnvID is an ENVID (RFC 3461 §4.4) that names a message: hosts that tell of it later
// repeat it. It proves no return path, nor the other way round.
func (p *Paths) EnvID(ctx context.Context, message mail.ID) (string, error) {
	key, err := p.o.Key(ctx)
	t := Token{Message: message, key: key}
	return message.String() + "." + t.sum(proofLen, "envid", ""), err
}

// ReadEnvID tells which message an ENVID names, if it was made here.
func (p *Paths) ReadEnvID(ctx context.Context, text string) (message mail.ID, ok bool, err error) {
	name, proof, _ := strings.Cut(strings.ToLower(text), ".")
	if len(name) != idLen || len(proof) != proofLen {
		return 0, false, nil
	}
	id, err := mail.ParseID(name)
	if err != nil || id == 0 {
		return 0, false, nil //nolint:nilerr // it is somebody else's
	}
	key, err := p.o.Key(ctx)
	if err != nil {
		return 0, false, err
	}
	t := Token{Message: id, key: key}
	return id, hmac.Equal([]byte(proof), []byte(t.sum(proofLen, "envid", ""))), nil
}

// Token is what a return path says.
type Token struct {
	Message mail.ID
	mark    string // of the recipient; empty = any of the message's
	key     []byte
}

// Read tells whether an address is a return path that was made here, in any mode,
// and what it says. One that somebody made up is an address like any other. Hosts
// on the way may have changed its case.
func (p *Paths) Read(ctx context.Context, a mail.Address) (t Token, ok bool, err error) {
	local := strings.ToLower(a.Local)
	if !strings.HasPrefix(local, prefix) {
		return t, false, nil
	}
	local = local[len(prefix):]
	if len(local) != idLen+proofLen && len(local) != idLen+markLen+proofLen {
		return t, false, nil
	}
	id, err := mail.ParseID(local[:idLen])
	if err != nil || id == 0 {
		return t, false, nil //nolint:nilerr // no return path
	}
	if a.Domain != p.o.Settings().Domain {
		if ours, err := p.o.IsLocal(ctx, a.Domain); err != nil || !ours {
			return t, false, err
		}
	}
	key, err := p.o.Key(ctx)
	if err != nil {
		return t, false, err
	}
	proof := local[len(local)-proofLen:]
	t = Token{Message: id, mark: local[idLen : len(local)-proofLen], key: key}
	if !hmac.Equal([]byte(proof), []byte(t.proof())) {
		return Token{}, false, nil
	}
	return t, true, nil
}

// Single tells whether the token is for one recipient only.
func (t Token) Single() bool { return t.mark != "" }

// IsFor tells whether a report to the token can be about a recipient.
func (t Token) IsFor(to mail.Address) bool { return t.mark == "" || t.mark == t.markOf(to) }

// markOf names a recipient without telling who it is.
func (t Token) markOf(to mail.Address) string {
	return t.sum(markLen, "recipient", to.Key())
}

func (t Token) proof() string { return t.sum(proofLen, "proof", t.mark) }

// sum is the beginning of a MAC over the message and a text, in lower case.
func (t Token) sum(length int, use, text string) string {
	h := hmac.New(sha256.New, t.key)
	_, _ = h.Write([]byte(use + "\x00")) // a hash never fails
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(t.Message)))
	_, _ = h.Write([]byte(text))
	return strings.ToLower(base32.HexEncoding.EncodeToString(h.Sum(nil))[:length])
}
