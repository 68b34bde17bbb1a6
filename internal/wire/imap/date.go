package imap

import (
	"errors"
	"time"
)

const (
	// RFC 3501 §9 date-time
	dateTimeForm = "_2-Jan-2006 15:04:05 -0700"
	// RFC 3501 §9 date-text
	dateForm = "2-Jan-2006"
)

var errDate = errors.New("imap: bad date")

// ParseDateTime parses the inside of a date-time, such as
// " 2-Feb-2026 21:52:25 -0700".
func ParseDateTime(s string) (time.Time, error) {
	// The length keeps out what package time forgives: one-digit fields
	// and fractions of a second.
	if len(s) != len("02-Jan-2006 15:04:05 -0700") || s[21] != '+' && s[21] != '-' {
		return time.Time{}, errDate
	}
	t, err := time.Parse(dateTimeForm, s)
	if err != nil {
		return time.Time{}, errDate
	}
	return t, nil
}

// AppendDateTime appends t as a date-time with its quotes, in the zone of t,
// whole minutes of which are all that the form can tell.
func AppendDateTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = t.AppendFormat(dst, dateTimeForm)
	return append(dst, '"')
}

// ParseDate parses a day such as 1-Feb-2026 and returns its midnight in UTC.
// The day has no zone of its own.
func ParseDate(s string) (time.Time, error) {
	if len(s) < len("1-Feb-2026") || len(s) > len("01-Feb-2026") {
		return time.Time{}, errDate
	}
	t, err := time.Parse(dateForm, s)
	if err != nil {
		return time.Time{}, errDate
	}
	return t, nil
}

// AppendDate appends the day of t as it stands in the zone of t.
func AppendDate(dst []byte, t time.Time) []byte { return t.AppendFormat(dst, dateForm) }

// date takes a day, with or without quotes.
func (d *Decoder) date() time.Time {
	var s string
	if d.peek() == '"' {
		s = d.quoted()
	} else {
		s = d.atom("a date")
	}
	t, err := ParseDate(s)
	if err != nil {
		d.fail("bad date")
	}
	return t
}
