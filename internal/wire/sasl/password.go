package sasl

import (
	"bytes"
	"unicode/utf8"
)

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

func (p *plain) Claimed() string { return p.c.User }

func (p *plain) Outcome() Outcome { return p.c }

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

func (l *login) Claimed() string { return l.c.User }

func (l *login) Outcome() Outcome { return l.c }
