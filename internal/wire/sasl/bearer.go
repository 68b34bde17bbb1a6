package sasl

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bearer is our side of OAUTHBEARER (RFC 7628) and of XOAUTH2, Google's older
// form of it.
type bearer struct {
	server  Server
	parse   func(string) (Bearer, error)
	status  string // of a refusal
	said    Bearer
	refused bool
}

func (b *bearer) Next(answer []byte) ([]byte, bool, error) {
	if b.refused {
		// RFC 7628 §3.2.3: the client's answer to our reasons says nothing.
		return nil, false, ErrCredentials
	}
	if answer == nil {
		return []byte{}, false, nil
	}
	said, err := b.parse(string(answer))
	if err != nil {
		return nil, false, err
	}
	b.said = said
	user, err := b.server.Token(said)
	switch {
	case errors.Is(err, ErrCredentials):
		b.refused = true
		return b.reasons(), false, nil
	case err != nil:
		return nil, false, err
	}
	b.said.User = user
	return nil, true, nil
}

// reasons are the challenge of a failure (RFC 7628 §3.2.2). "schemes" is
// Google's.
func (b *bearer) reasons() []byte {
	out, err := json.Marshal(struct {
		Status    string `json:"status"`
		Schemes   string `json:"schemes"`
		Scope     string `json:"scope"`
		Discovery string `json:"openid-configuration,omitempty"`
	}{b.status, "bearer", b.server.Scope, b.server.Discovery})
	if err != nil {
		return []byte("{}") // four strings always print
	}
	return out
}

func (b *bearer) Claimed() string { return b.said.User }

func (b *bearer) Outcome() Outcome { return b.said }

// kvsep ends pairs and messages (RFC 7628 §3.1).
const kvsep = "\x01"

// parseOAuthBearer reads client-resp (RFC 7628 §3.1).
func parseOAuthBearer(message string) (Bearer, error) {
	header, rest, err := parseGS2(message)
	if err != nil {
		return Bearer{}, err
	}
	if header.flag == 'p' {
		return Bearer{}, ErrBinding
	}
	rest, found := strings.CutPrefix(rest, kvsep)
	if !found {
		return Bearer{}, ErrSyntax
	}
	said, err := parsePairs(rest)
	said.User = header.authzid
	return said, err
}

// parseXOAuth2 reads "user=" user kvsep "auth=Bearer " token kvsep kvsep.
func parseXOAuth2(message string) (Bearer, error) {
	rest, found := strings.CutPrefix(message, "user=")
	user, rest, ended := strings.Cut(rest, kvsep)
	if !found || !ended || user == "" || !utf8.ValidString(user) || strings.Contains(user, "\x00") {
		return Bearer{}, ErrSyntax
	}
	said, err := parsePairs(rest)
	said.User = user
	return said, err
}

// parsePairs reads kvpairs up to the end of the message. The RFC lets us ignore
// those that we do not know.
func parsePairs(s string) (b Bearer, err error) {
	seen := map[string]bool{}
	for s != kvsep {
		pair, rest, ended := strings.Cut(s, kvsep)
		key, value, found := strings.Cut(pair, "=")
		if !ended || !found || !isKey(key) || !isValue(value) || seen[key] {
			return Bearer{}, ErrSyntax
		}
		seen[key] = true
		switch key {
		case "auth":
			b.Token, err = parseToken(value)
		case "host":
			b.Host = value
		case "port":
			b.Port, err = parsePort(value)
		}
		if err != nil {
			return Bearer{}, err
		}
		s = rest
	}
	if !seen["auth"] {
		return Bearer{}, ErrSyntax
	}
	return b, nil
}

func isKey(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !isLetter(r) }) < 0
}

// isValue is *(VCHAR / SP / HTAB / CR / LF).
func isValue(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < ' ' || r > '~') && r != '\t' && r != '\r' && r != '\n'
	}) < 0
}

// parseToken reads the Authorization header field of RFC 6750 §2.1. Nothing, or
// no token, is a question.
func parseToken(value string) (string, error) {
	if value == "" {
		return "", nil
	}
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token != "" && !isToken(token) {
		return "", ErrSyntax
	}
	return token, nil
}

// isToken is b64token (RFC 6750 §2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !isLetter(r) && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	}) < 0
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '+' {
		return 0, ErrSyntax
	}
	return int(n), nil
}
