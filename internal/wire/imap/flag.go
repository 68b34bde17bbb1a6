package imap

import "strings"

// Flag is a system flag such as \Seen or a keyword such as $Junk. Case does
// not count (see Equal); system flags that are parsed come in the case of the
// constants.
//
// RFC 3501 §2.3.2
type Flag string

// The system flags, and the sign in PERMANENTFLAGS that a client may make up
// keywords.
const (
	FlagSeen     Flag = `\Seen`
	FlagAnswered Flag = `\Answered`
	FlagFlagged  Flag = `\Flagged`
	FlagDeleted  Flag = `\Deleted`
	FlagDraft    Flag = `\Draft`
	FlagRecent   Flag = `\Recent`
	FlagAny      Flag = `\*`
)

// Equal reports whether both are the same flag.
func (f Flag) Equal(other Flag) bool {
	return strings.EqualFold(string(f), string(other))
}

// IsSystem reports whether f is no keyword.
func (f Flag) IsSystem() bool { return strings.HasPrefix(string(f), `\`) }

// ParseFlag parses one flag.
func ParseFlag(s string) (Flag, bool) {
	name := strings.TrimPrefix(s, `\`)
	if name == "" {
		return "", false
	}
	for i := range len(name) {
		if !isAtomChar(name[i]) {
			return "", false
		}
	}
	if len(name) == len(s) {
		return Flag(s), true
	}
	for _, f := range systemFlags {
		if f.Equal(Flag(s)) {
			return f, true
		}
	}
	return Flag(s), true
}

// flag takes one flag.
func (d *Decoder) flag() Flag {
	prefix := ""
	if d.take('\\') {
		prefix = `\`
	}
	f, _ := ParseFlag(prefix + d.atom("a flag"))
	return f
}

// flagList takes flags in parentheses.
func (d *Decoder) flagList() []Flag {
	d.expect('(', "a list of flags")
	if d.take(')') {
		return nil
	}
	flags := d.flags()
	d.expect(')', "the end of the list of flags")
	return flags
}

// flags takes one flag or more with spaces between.
func (d *Decoder) flags() []Flag {
	var flags []Flag
	for d.err == nil {
		flags = append(flags, d.flag())
		if len(flags) > d.limits.Items {
			d.fail("too many flags")
		}
		if !d.take(' ') {
			break
		}
	}
	return flags
}
