package imapd

import (
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// maxKnown bounds the keywords of a mailbox that a client is told of.
const maxKnown = 200

// wireFlags appends the flags of a message.
func wireFlags(dst []imap.Flag, row *mailbox.Row) []imap.Flag {
	for _, f := range systemFlags {
		if row.Flags&f.bit != 0 {
			dst = append(dst, f.wire)
		}
	}
	if row.Recent {
		dst = append(dst, imap.FlagRecent)
	}
	for _, k := range row.Keywords {
		dst = append(dst, imap.Flag(k))
	}
	return dst
}

// storeFlags takes flags of a client apart; false if one cannot be set.
// RFC 3501 §2.3.2
func storeFlags(list []imap.Flag) (flags mailbox.Flags, keywords []string, ok bool) {
	for _, f := range list {
		if !f.IsSystem() {
			keywords = append(keywords, string(f))
			continue
		}
		bit := systemBit(f)
		if bit == 0 {
			return 0, nil, false
		}
		flags |= bit
	}
	return flags, keywords, true
}

// systemBit is the store's bit of a system flag, 0 if it has none.
func systemBit(f imap.Flag) mailbox.Flags {
	for _, s := range systemFlags {
		if s.wire.Equal(f) {
			return s.bit
		}
	}
	return 0
}

func badFlag() reply { return bad("That system flag cannot be set") }

// allFlags is what FLAGS tells.
func (s *session) allFlags() []imap.Flag {
	var list []imap.Flag
	for _, f := range systemFlags {
		list = append(list, f.wire)
	}
	return append(list, s.sel.known...)
}

// announce tells of keywords before the client meets them.
// RFC 3501 §7.2.6
func (s *session) announce(keywords []string) {
	fresh := false
	for _, k := range keywords {
		have := slices.ContainsFunc(s.sel.known, func(f imap.Flag) bool { return f.Equal(imap.Flag(k)) })
		if !have && len(s.sel.known) < maxKnown {
			// A copy, since k may be a part of all that its message has.
			s.sel.known = append(s.sel.known, imap.Flag(strings.Clone(k)))
			fresh = true
		}
	}
	if fresh {
		s.enc.Flags(s.allFlags())
	}
}
