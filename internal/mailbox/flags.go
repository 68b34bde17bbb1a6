package mailbox

import (
	"slices"
	"strings"
)

// Flags is a set of system flags.
type Flags uint32

// The system flags of RFC 3501 §2.3.2 that are stored. \Recent belongs to a
// session: see Row.
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft

	AllFlags = Seen | Answered | Flagged | Deleted | Draft
)

// Limits of keywords.
const (
	MaxKeywords     = 50  // of one message
	MaxKeywordBytes = 100 // of one keyword
)

// Mode says what Store does with the flags it is given.
type Mode uint8

// The modes of RFC 3501 §6.4.6.
const (
	Replace Mode = iota
	Add
	Remove
)

// cleanKeywords checks keywords and sorts out doubles, which differ in case
// only. The result is sorted, so that equal sets are equal texts in a row.
func cleanKeywords(list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]string, 0, len(list))
	for _, k := range list {
		if !validKeyword(k) {
			return nil, ErrBadKeyword
		}
		if !hasKeyword(out, k) {
			out = append(out, k)
		}
	}
	if len(out) > MaxKeywords {
		return nil, ErrBadKeyword
	}
	slices.Sort(out)
	return out, nil
}

// validKeyword tells whether k is an atom.
// RFC 3501 §9, flag-keyword
func validKeyword(k string) bool {
	if k == "" || len(k) > MaxKeywordBytes {
		return false
	}
	for _, c := range []byte(k) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

func hasKeyword(list []string, k string) bool {
	return slices.ContainsFunc(list, func(have string) bool { return strings.EqualFold(have, k) })
}

func joinKeywords(list []string) string { return strings.Join(list, " ") }

func splitKeywords(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, " ")
}

// marks are the flags and keywords of one message.
type marks struct {
	flags    Flags
	keywords string // joined
}

// change returns the marks after a Store with flags and cleaned keywords.
func (m marks) change(mode Mode, flags Flags, keywords []string) (marks, error) {
	switch mode {
	case Add:
		m.flags |= flags
		if len(keywords) == 0 {
			return m, nil
		}
		all, err := cleanKeywords(append(splitKeywords(m.keywords), keywords...))
		if err != nil {
			return m, err
		}
		m.keywords = joinKeywords(all)
	case Remove:
		m.flags &^= flags
		kept := slices.DeleteFunc(splitKeywords(m.keywords), func(k string) bool { return hasKeyword(keywords, k) })
		m.keywords = joinKeywords(kept)
	default:
		m = marks{flags: flags, keywords: joinKeywords(keywords)}
	}
	return m, nil
}
