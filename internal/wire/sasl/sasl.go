// Package sasl holds the mechanisms of SASL (RFC 4422), both sides of each: what
// to ask, and what to answer.
package sasl

import (
	"encoding/base64"
	"errors"
	"strings"
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

	// ErrCredentials says that the proof or the token is wrong, or that there
	// is no such user. Server.Token returns it for a token it refuses.
	ErrCredentials = errors.New("the user or the proof is wrong")
	// ErrBinding says that the exchange is bound to another TLS connection, or
	// in a way that this connection does not have.
	ErrBinding = errors.New("the exchange is not bound to this connection")
	// ErrDowngrade says that the client did not see the -PLUS that we
	// announced: somebody in between took it away (RFC 5802 §6).
	ErrDowngrade = errors.New("the client did not see that channel binding is offered")
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
