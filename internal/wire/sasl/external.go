package sasl

import (
	"strings"
	"unicode/utf8"
)

// external is RFC 4422 appendix A: TLS has proven who the client is.
type external struct{ identity string }

func (e *external) Next(answer []byte) ([]byte, bool, error) {
	if answer == nil {
		return []byte{}, false, nil
	}
	authzid := string(answer)
	if !utf8.ValidString(authzid) || strings.Contains(authzid, "\x00") {
		return nil, false, ErrSyntax
	}
	if authzid != "" && !strings.EqualFold(authzid, e.identity) {
		return nil, false, ErrAuthzid
	}
	return nil, true, nil
}

func (e *external) Claimed() string { return e.identity }

func (e *external) Outcome() Outcome { return External{User: e.identity} }
