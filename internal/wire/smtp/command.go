package smtp

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/mail"
)

// Command is a line split into its verb and the rest.
type Command struct {
	Verb string // upper case
	Arg  string // without surrounding spaces
}

var (
	// ErrNotCommand says that a line begins with no verb.
	ErrNotCommand = errors.New("not a command")
	// ErrEightBit says that a command has octets beyond ASCII where they mean nothing.
	ErrEightBit = errors.New("octets beyond ASCII")
)

// maxVerb bounds a verb; the longest that we know is STARTTLS.
const maxVerb = 12

// ParseCommand splits a line. Octets beyond ASCII are for arguments that are addresses
// (RFC 6531 §3.4, §3.7.4).
func ParseCommand(line []byte) (Command, error) {
	end := 0
	for end < len(line) && isAlpha(line[end]) {
		end++
	}
	if end == 0 || end > maxVerb || end < len(line) && line[end] != ' ' {
		return Command{}, ErrNotCommand
	}
	for _, c := range line[end:] {
		if c < ' ' && c != '\t' || c == 0x7f {
			return Command{}, ErrNotCommand
		}
	}
	cmd := Command{Verb: strings.ToUpper(string(line[:end])), Arg: strings.Trim(string(line[end:]), " \t")}
	switch cmd.Verb {
	case "MAIL", "RCPT", "VRFY", "EXPN":
	default:
		if !isASCII(cmd.Arg) {
			return Command{}, ErrEightBit
		}
	}
	return cmd, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func isAlpha(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// Param is an esmtp-param (RFC 5321 §4.1.2).
type Param struct {
	Key   string // upper case
	Value string // as sent, empty = none
}

// Path is the argument of MAIL or RCPT.
type Path struct {
	Address mail.Address // zero for the null reverse-path; without domain for "postmaster"
	Params  []Param
	UTF8    bool // the path has octets beyond ASCII (RFC 6531 §3.4)
}

// Errors of MAIL and RCPT arguments.
var (
	ErrArgument = errors.New("the argument must be FROM:<address> or TO:<address>")
	ErrParam    = errors.New("a parameter is malformed")
)

// maxParams bounds the parameters of one command.
const maxParams = 20

// ParseMail reads what follows MAIL: FROM:<reverse-path> and parameters.
func ParseMail(arg string) (Path, error) {
	path, rest, err := cutPath(arg, "FROM:")
	if err != nil {
		return Path{}, err
	}
	p := Path{UTF8: !isASCII(path)}
	if path != "" {
		if p.Address, err = parsePath(path); err != nil {
			return Path{}, err
		}
	}
	p.Params, err = parseParams(rest)
	return p, err
}

// ParseRcpt reads what follows RCPT: TO:<forward-path> and parameters. A bare
// local part is taken for postmaster alone (RFC 5321 §4.1.1.3).
func ParseRcpt(arg string) (Path, error) {
	path, rest, err := cutPath(arg, "TO:")
	if err != nil {
		return Path{}, err
	}
	p := Path{UTF8: !isASCII(path)}
	if mail.IsPostmaster(path) {
		p.Address = mail.Address{Local: path}
	} else if p.Address, err = parsePath(path); err != nil {
		return Path{}, err
	}
	p.Params, err = parseParams(rest)
	return p, err
}

// cutPath finds the path between angle brackets. A quoted local part may hold
// brackets itself.
func cutPath(arg, keyword string) (path, rest string, err error) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", "", ErrArgument
	}
	// RFC 5321 §3.3 forbids a space behind the colon, yet old clients send it.
	arg = strings.TrimLeft(arg[len(keyword):], " ")
	if !strings.HasPrefix(arg, "<") {
		return "", "", ErrArgument
	}
	quoted := false
	for i := 1; i < len(arg); i++ {
		switch c := arg[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			rest = arg[i+1:]
			if rest != "" && rest[0] != ' ' {
				return "", "", ErrArgument
			}
			return arg[1:i], rest, nil
		}
	}
	return "", "", ErrArgument
}

// parsePath reads a Path without its brackets; a source route is dropped
// (RFC 5321 §4.1.1.3).
func parsePath(s string) (mail.Address, error) {
	// RFC 5321 §4.5.3.1.3: 256 octets with the brackets.
	if len(s) > 254 {
		return mail.Address{}, mail.ErrAddress
	}
	if strings.HasPrefix(s, "@") {
		_, after, found := strings.Cut(s, ":")
		if !found {
			return mail.Address{}, mail.ErrAddress
		}
		s = after
	}
	return mail.ParseAddress(s)
}

func parseParams(s string) ([]Param, error) {
	var out []Param
	for word := range strings.FieldsSeq(s) {
		key, value, has := strings.Cut(word, "=")
		p := Param{Key: strings.ToUpper(key), Value: value}
		// RFC 5321 §4.1.2 says nothing of one given twice; two hosts could each
		// believe another one of them.
		twice := slices.ContainsFunc(out, func(o Param) bool { return o.Key == p.Key })
		if !validKeyword(key) || has && !validValue(p) || len(out) == maxParams || twice {
			return nil, ErrParam
		}
		out = append(out, p)
	}
	return out, nil
}

func validKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// validValue takes octets beyond ASCII where an address may have them alone
// (RFC 6533 §3): the letters of a word are ASCII's, whatever folds to them.
func validValue(p Param) bool {
	s := p.Value
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '=' || c == 0x7f {
			return false
		}
	}
	return s != "" && (isASCII(s) || p.Key == "ORCPT" && utf8.ValidString(s))
}

// ParseSize reads the SIZE parameter (RFC 1870 §3): up to 20 digits.
func ParseSize(s string) (int64, error) {
	if s == "" || len(s) > 20 {
		return 0, ErrParam
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, ErrParam
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1, nil // larger than anything: let the limit speak
	}
	return n, nil
}
