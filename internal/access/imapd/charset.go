package imapd

import (
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

var (
	errCharset = errors.New("unknown charset")
	errText    = errors.New("the text does not follow its charset")
)

// searchText returns what turns the texts of a search into UTF-8; errCharset.
// RFC 3501 §6.4.4
func searchText(charset string) (func(string) (string, error), error) {
	switch charset {
	case "", "US-ASCII", "ASCII", "UTF-8", "UTF8":
		// UTF-8 without a word about it is what clients send, if anything.
		return func(s string) (string, error) {
			if !utf8.ValidString(s) {
				return "", errText
			}
			return s, nil
		}, nil
	}
	enc, err := ianaindex.IANA.Encoding(charset)
	if err != nil || enc == nil {
		enc, err = htmlindex.Get(charset)
	}
	if err != nil || enc == nil || enc == encoding.Replacement {
		return nil, errCharset
	}
	return func(s string) (string, error) {
		out, err := enc.NewDecoder().String(s)
		if err != nil || !utf8.ValidString(out) {
			return "", errText
		}
		return out, nil
	}, nil
}
