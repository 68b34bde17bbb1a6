package sasl

import (
	"crypto/rand"
	"crypto/sha256"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SCRAM (RFC 5802) with SHA-256 (RFC 7677). The exchange is our own, not that of
// github.com/xdg-go/scram, whose server (v1.4.0) knows one key for a user, ends
// at once if there is no such user, and knows one kind of binding in a run. We
// try a proof against every app password of an account, go on with a decoy for
// unknown users, and take either binding.
const (
	scram     = "SCRAM-SHA-256"
	scramPlus = "SCRAM-SHA-256-PLUS"
)

// maxNonce bounds the client's part of the nonce, so that our answer, which
// repeats it, stays far below MaxLine.
const maxNonce = 1024

// clientFirst is client-first-message (RFC 5802 §7).
type clientFirst struct {
	header            gs2
	bare, user, nonce string
}

func parseClientFirst(message string) (clientFirst, error) {
	header, bare, err := parseGS2(message)
	if err != nil {
		return clientFirst{}, err
	}
	values, ok := attributes(bare, "nr")
	if !ok || !isNonce(values[1]) || len(values[1]) > maxNonce {
		return clientFirst{}, ErrSyntax
	}
	user, err := decodeName(values[0])
	return clientFirst{header: header, bare: bare, user: user, nonce: values[1]}, err
}

// clientFinal is client-final-message.
type clientFinal struct {
	binding      []byte // cbind-input
	nonce        string
	withoutProof string
	proof        []byte
}

func parseClientFinal(message string) (clientFinal, error) {
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return clientFinal{}, ErrSyntax
	}
	f := clientFinal{withoutProof: message[:at]}
	values, ok := attributes(f.withoutProof, "cr")
	if !ok {
		return clientFinal{}, ErrSyntax
	}
	binding, bindingOK := decode64(values[0])
	proof, proofOK := decode64(message[at+len(",p="):])
	if !bindingOK || !proofOK || len(proof) != sha256.Size {
		return clientFinal{}, ErrSyntax
	}
	f.binding, f.nonce, f.proof = binding, values[1], proof
	return f, nil
}

// serverFirst is server-first-message.
type serverFirst struct {
	nonce      string
	salt       []byte
	iterations int
}

func (f serverFirst) String() string {
	return "r=" + f.nonce + ",s=" + Encode(f.salt) + ",i=" + strconv.Itoa(f.iterations)
}

func parseServerFirst(message string) (serverFirst, error) {
	values, ok := attributes(message, "rsi")
	if !ok || !isNonce(values[0]) {
		return serverFirst{}, ErrChallenge
	}
	salt, ok := decode64(values[1])
	n, err := strconv.Atoi(values[2])
	// posit-number has neither sign nor leading zero.
	if !ok || err != nil || strconv.Itoa(n) != values[2] || !bounded(salt, n) {
		return serverFirst{}, ErrChallenge
	}
	return serverFirst{nonce: values[0], salt: salt, iterations: n}, nil
}

// attributes splits a message and returns the values of the named attributes,
// which it has to begin with in this order. Extensions behind them may be
// ignored (RFC 5802 §5.1), except for "m", which must be understood, so that it
// is always an error; nor may they repeat a name that has a meaning.
func attributes(message, names string) ([]string, bool) {
	parts := strings.Split(message, ",")
	if len(parts) < len(names) || !utf8.ValidString(message) || strings.Contains(message, "\x00") {
		return nil, false
	}
	values := make([]string, 0, len(names))
	for i, part := range parts {
		if len(part) < 3 || !isLetter(rune(part[0])) || part[1] != '=' {
			return nil, false
		}
		switch {
		case i >= len(names):
			if strings.IndexByte("anmrcsipve", part[0]) >= 0 {
				return nil, false
			}
		case part[0] == names[i]:
			values = append(values, part[2:])
		default:
			return nil, false
		}
	}
	return values, true
}

// isNonce is one or more of "printable" (RFC 5802 §7); commas are gone already.
func isNonce(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }) < 0
}

// nonce makes 130 random bits, unless a test has its own.
func nonce(own func() string) string {
	if own != nil {
		return own()
	}
	return rand.Text()
}

// authMessage is AuthMessage (RFC 5802 §3).
func authMessage(clientFirstBare, serverFirst, clientFinalWithoutProof string) string {
	return clientFirstBare + "," + serverFirst + "," + clientFinalWithoutProof
}
