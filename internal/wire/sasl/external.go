package sasl

import (
	"strings"
	"unicode/utf8"
)

// external is RFC 4422 appendix A: TLS has proven who the client is.
type external struct {
	server Server
	user   string
}

func (e *external) Next(answer []byte) ([]byte, bool, error) {
	if answer == nil {
		return []byte{}, false, nil
	}
	authzid := string(answer)
	if !utf8.ValidString(authzid) || strings.Contains(authzid, "\x00") {
		return nil, false, ErrSyntax
	}
	var err error
	e.user, err = e.server.External(authzid)
	return nil, err == nil, err
}

func (e *external) Claimed() string { return e.user }

func (e *external) Outcome() Outcome { return External{User: e.user} }
