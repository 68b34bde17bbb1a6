package imap

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

var errSASL = errors.New("imap: SASL response with a line end")

// Authenticate is the AUTHENTICATE command. RFC 3501 §6.2.2
type Authenticate struct {
	// Mechanism is in upper case.
	Mechanism string
	// Initial is the decoded initial response, nil if the client sent none.
	// RFC 4959 §3
	Initial *[]byte
}

// Login is the LOGIN command. RFC 3501 §6.2.3
type Login struct {
	User     string
	Password string
}

func (d *Decoder) authenticate() Request {
	d.space()
	req := Authenticate{Mechanism: d.keyword("a mechanism")}
	if d.take(' ') && d.pos < len(d.line) {
		raw := d.run(isAtomChar)
		var initial []byte
		// RFC 4959 §3: "=" is a response of no octets.
		if string(raw) != "=" {
			var err error
			if initial, err = DecodeSASL(string(raw)); err != nil || len(initial) == 0 {
				d.fail("bad initial response")
			}
		}
		req.Initial = &initial
	}
	d.finish()
	return req
}

func (d *Decoder) login() Request {
	d.space()
	user := d.astring()
	d.space()
	password := d.astring()
	d.finish()
	return Login{User: user, Password: password}
}

// DecodeSASL decodes a line that a client sent as a SASL response. It returns
// ErrCancelled for "*", and another error if the line is not base64.
//
// RFC 3501 §6.2.2
func DecodeSASL(line string) ([]byte, error) {
	if line == "*" {
		return nil, ErrCancelled
	}
	if strings.ContainsAny(line, "\r\n") { // which package base64 passes over
		return nil, errSASL
	}
	out, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil {
		return nil, fmt.Errorf("imap: SASL response: %w", err)
	}
	return out, nil
}
