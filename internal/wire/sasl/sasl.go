// Package sasl is the server side of the password mechanisms of SASL
// (RFC 4422): what to ask, and what the answers say.
package sasl

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"
)

// MaxLine is the longest line of an exchange in octets, CRLF included
// (RFC 4954 §4).
const MaxLine = 12288

// Errors of an exchange.
var (
	ErrCancelled = errors.New("the client cancelled the exchange")
	ErrSyntax    = errors.New("the client's answer does not follow its mechanism")
	ErrBase64    = errors.New("the client's answer is not base64")
	ErrAuthzid   = errors.New("acting for another user is not offered")
)

// Credentials are what a finished exchange says: as whom, and the proof.
type Credentials struct {
	User, Password string
}

// Exchange is one run of a mechanism. It is fed with each decoded answer.
type Exchange interface {
	// Next takes an answer, nil before the first, and gives the next
	// challenge, or done.
	Next(answer []byte) (challenge []byte, done bool, err error)
	// Credentials is valid once Next said done.
	Credentials() Credentials
}

// Mechanisms are the names that New knows, strongest first.
func Mechanisms() []string { return []string{"PLAIN", "LOGIN"} }

// New begins an exchange; false if the mechanism is unknown.
func New(mechanism string) (Exchange, bool) {
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		return &plain{}, true
	case "LOGIN":
		return &login{}, true
	}
	return nil, false
}

// Decode reads a base64 answer; "=" is an empty one (RFC 4954 §4) and "*"
// cancels.
func Decode(line string) ([]byte, error) {
	switch line {
	case "*":
		return nil, ErrCancelled
	case "=":
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(line)
	// The package skips line ends, which are no base64 here (RFC 4648 §3.3).
	if err != nil || strings.ContainsAny(line, "\r\n") {
		return nil, ErrBase64
	}
	return b, nil
}

// Encode writes a challenge.
func Encode(challenge []byte) string { return base64.StdEncoding.EncodeToString(challenge) }

// plain is RFC 4616.
type plain struct{ c Credentials }

func (p *plain) Next(answer []byte) ([]byte, bool, error) {
	if answer == nil {
		return []byte{}, false, nil
	}
	parts := bytes.Split(answer, []byte{0})
	if len(parts) != 3 || !utf8.Valid(answer) || len(parts[1]) == 0 || len(parts[2]) == 0 {
		return nil, false, ErrSyntax
	}
	if authzid := parts[0]; len(authzid) > 0 && !bytes.EqualFold(authzid, parts[1]) {
		return nil, false, ErrAuthzid
	}
	p.c = Credentials{User: string(parts[1]), Password: string(parts[2])}
	return nil, true, nil
}

func (p *plain) Credentials() Credentials { return p.c }

// login is the LOGIN mechanism, which has no standard but many clients.
type login struct {
	c     Credentials
	asked int
}

func (l *login) Next(answer []byte) ([]byte, bool, error) {
	if answer != nil {
		if len(answer) == 0 || !utf8.Valid(answer) || bytes.IndexByte(answer, 0) >= 0 {
			return nil, false, ErrSyntax
		}
		if l.c.User == "" {
			l.c.User = string(answer) // possibly as initial response
			l.asked = 1
		} else {
			l.c.Password = string(answer)
			return nil, true, nil
		}
	}
	if l.asked == 0 {
		l.asked = 1
		return []byte("Username:"), false, nil
	}
	return []byte("Password:"), false, nil
}

func (l *login) Credentials() Credentials { return l.c }
