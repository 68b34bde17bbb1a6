package mime

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

// charsetEncoding finds a charset by its name in mail. raw means that the
// bytes are text as they are; nil without raw means an unknown charset.
func charsetEncoding(name string) (enc encoding.Encoding, raw bool) {
	name = strings.ToLower(strings.Trim(name, " \t\"'"))
	if alias, ok := charsetAliases[name]; ok {
		name = alias
	}
	switch name {
	case "", "us-ascii", "ascii", "utf-8", "utf8", "ansi_x3.4-1968", "646":
		return nil, true
	case "utf-16":
		// RFC 2781 §4.3: big endian without a mark.
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM), false
	}
	// The web's index knows what a label stands for in practice; it refuses
	// some old charsets, which the IANA index may have.
	if enc, err := htmlindex.Get(name); err == nil && enc != encoding.Replacement {
		return enc, false
	}
	if enc, err := ianaindex.MIME.Encoding(name); err == nil && enc != nil && enc != encoding.Replacement {
		return enc, false
	}
	return nil, false
}

// charsetText decodes bytes to valid UTF-8.
func charsetText(charset string, b []byte) string {
	if enc, _ := charsetEncoding(charset); enc != nil {
		if text, err := enc.NewDecoder().Bytes(b); err == nil {
			return strings.ToValidUTF8(string(text), "\ufffd")
		}
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}
