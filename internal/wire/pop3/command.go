package pop3

import (
	"errors"
	"math"
	"strings"
)

// Command is a line split into its keyword and the rest.
type Command struct {
	Verb string // upper case
	// Arg is everything behind the first space, as sent: a password may begin
	// or end with spaces.
	Arg string
}

// Errors of a command.
var (
	ErrNotCommand = errors.New("not a command")
	ErrArgument   = errors.New("the argument is malformed")
)

// maxVerb bounds a keyword: they have three or four letters (RFC 1939 §3).
const maxVerb = 4

// ParseCommand splits a line.
func ParseCommand(line []byte) (Command, error) {
	verb, arg, _ := strings.Cut(string(line), " ")
	if len(verb) < 3 || len(verb) > maxVerb {
		return Command{}, ErrNotCommand
	}
	for i := range len(verb) {
		if c := verb[i] | 0x20; c < 'a' || c > 'z' {
			return Command{}, ErrNotCommand
		}
	}
	for i := range len(arg) {
		if c := arg[i]; c < ' ' || c == 0x7f {
			return Command{}, ErrNotCommand
		}
	}
	return Command{Verb: strings.ToUpper(verb), Arg: arg}, nil
}

// ParseNumber reads a message-number, which is at least 1 (RFC 1939 §3).
func ParseNumber(arg string) (int, error) {
	n, err := number(arg)
	if err == nil && n == 0 {
		err = ErrArgument
	}
	return n, err
}

// ParseTop reads the arguments of TOP: a message-number and a count of lines
// that may be 0 (RFC 1939 §7).
func ParseTop(arg string) (message, lines int, err error) {
	first, second, _ := strings.Cut(arg, " ")
	if message, err = ParseNumber(first); err != nil {
		return 0, 0, err
	}
	if lines, err = number(second); err != nil {
		return 0, 0, err
	}
	return message, lines, nil
}

// maxDigits bounds a number as it is written.
const maxDigits = 20

// number reads decimal digits; what is beyond an int32 counts as its largest.
func number(s string) (int, error) {
	if s == "" || len(s) > maxDigits {
		return 0, ErrArgument
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, ErrArgument
		}
		n = min(10*n+int(s[i]-'0'), math.MaxInt32)
	}
	return n, nil
}

// Auth is the argument of AUTH (RFC 5034 §4).
type Auth struct {
	Mechanism string // upper case; empty = the client asks which there are
	Initial   string // base64, or "=" for an empty one; empty = none
}

// ParseAuth reads the argument of AUTH.
func ParseAuth(arg string) (Auth, error) {
	mechanism, initial, given := strings.Cut(arg, " ")
	if given && (initial == "" || strings.Contains(initial, " ")) || mechanism == "" && arg != "" || len(mechanism) > 20 {
		return Auth{}, ErrArgument
	}
	for i := range len(mechanism) {
		// RFC 4422 §3.1, sasl-mech
		c := mechanism[i]
		if l := c | 0x20; (l < 'a' || l > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return Auth{}, ErrArgument
		}
	}
	return Auth{Mechanism: strings.ToUpper(mechanism), Initial: initial}, nil
}
