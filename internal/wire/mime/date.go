package mime

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads the date of a header field. Beside the grammar with its
// obsolete forms it takes what is seen in mail: no weekday, no seconds, dashes
// in the date, asctime order, ISO 8601, a zone that is missing or unknown
// (UTC, RFC 5322 §4.3). The result is in the zone that the field names.
// RFC 5322 §3.3, §4.3
func ParseDate(s string) (time.Time, bool) {
	d := dateParser{day: -1, month: -1, year: -1, hour: -1}
	words := 0
	for s = skipFill(s, ","); s != ""; s = skipFill(s, ",") {
		end := strings.IndexAny(s, " \t,(")
		if end < 0 {
			end = len(s)
		}
		if words++; words > 16 || !d.word(s[:end]) {
			return time.Time{}, false
		}
		s = s[end:]
	}
	return d.time()
}

type dateParser struct {
	day, month, year int // -1: not seen
	hour, min, sec   int
	zone             int // minutes east of UTC
}

// word takes one word of the date; false if the date cannot be read.
func (d *dateParser) word(w string) bool {
	switch {
	case strings.Contains(w, ":") && w[0] >= '0' && w[0] <= '9':
		return d.clock(w)
	case d.hour >= 0 && (w[0] == '+' || w[0] == '-'):
		d.offset(w)
		return true
	case w[0] >= '0' && w[0] <= '9':
		return d.number(w)
	}
	name := strings.ToUpper(strings.TrimSuffix(w, "."))
	if m := month(w); m > 0 && d.month < 0 {
		d.month = m
		return true
	}
	if (name == "AM" || name == "PM") && d.hour >= 0 && d.hour <= 12 {
		d.hour %= 12
		if name == "PM" {
			d.hour += 12
		}
		return true
	}
	if minutes, ok := zones[name]; ok {
		d.zone = minutes
	} else if len(name) > 3 && (strings.HasPrefix(name, "GMT") || strings.HasPrefix(name, "UTC")) {
		d.offset(name[3:])
	}
	// Weekdays, military zones (which RFC 5322 §4.3 says to read as -0000)
	// and unknown zone names tell nothing.
	return true
}

// number takes a day, a year, or a date with dashes.
func (d *dateParser) number(w string) bool {
	if strings.ContainsAny(w, "-/") {
		return d.dashes(w)
	}
	digits := strings.TrimRight(w, "stndrh.") // 1st, 2nd, 3rd, 4th
	n, err := strconv.Atoi(digits)
	switch {
	case err != nil || len(digits) > 4:
		return false
	case d.day < 0 && len(digits) <= 2:
		d.day = n
	case d.year < 0:
		d.year = fullYear(n, len(digits))
	}
	return true
}

// dashes takes 02-Jan-2006 and 2006-01-02, the latter with T and a time.
func (d *dateParser) dashes(w string) bool {
	f := strings.FieldsFunc(w, func(r rune) bool { return r == '-' || r == '/' })
	if len(f) != 3 {
		return false
	}
	if len(f[0]) == 4 {
		f[0], f[2] = f[2], f[0]
	}
	day, errDay := strconv.Atoi(f[0])
	year, errYear := strconv.Atoi(f[2])
	m, errMonth := strconv.Atoi(f[1])
	if errMonth != nil {
		m = month(f[1])
	}
	d.day, d.month, d.year = day, m, fullYear(year, len(f[2]))
	return errDay == nil && errYear == nil && m > 0
}

// fullYear reads a year of two or three digits.
// RFC 5322 §4.3
func fullYear(n, digits int) int {
	switch {
	case digits <= 2 && n < 50:
		return n + 2000
	case digits <= 3:
		return n + 1900
	}
	return n
}

// clock takes 15:04, 15:04:05, 15:04:05.999, and either with a zone behind it;
// and 2006-01-02T15:04:05Z, where the date comes first.
func (d *dateParser) clock(w string) bool {
	if date, rest, ok := strings.Cut(w, "T"); ok {
		if !d.dashes(date) || rest == "" {
			return false
		}
		w = rest
	}
	end := 0
	for end < len(w) && (w[end] >= '0' && w[end] <= '9' || w[end] == ':' || w[end] == '.') {
		end++
	}
	zone := w[end:]
	f := strings.Split(w[:end], ":")
	if len(f) < 2 || len(f) > 3 || d.hour >= 0 {
		return false
	}
	var n [3]int
	for i, text := range f {
		text, _, _ = strings.Cut(text, ".")
		v, err := strconv.Atoi(text)
		if err != nil || len(text) > 2 {
			return false
		}
		n[i] = v
	}
	d.hour, d.min, d.sec = n[0], n[1], n[2]
	switch {
	case zone == "":
		return true
	case zone[0] == '+' || zone[0] == '-':
		d.offset(zone)
		return true
	}
	return d.word(zone)
}

// offset takes +0900, +09:00, +9 and +900; anything else is no zone.
func (d *dateParser) offset(w string) {
	digits := strings.ReplaceAll(w[1:], ":", "")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) > 4 || w[0] != '+' && w[0] != '-' {
		return
	}
	if len(digits) <= 2 {
		n *= 100
	}
	minutes := int(n/100*60 + n%100)
	if minutes >= 24*60 {
		return
	}
	if w[0] == '-' {
		minutes = -minutes
	}
	d.zone = minutes
}

func (d *dateParser) time() (time.Time, bool) {
	if d.day < 1 || d.day > 31 || d.month < 1 || d.month > 12 || d.year < 1900 || d.year > 9999 {
		return time.Time{}, false
	}
	if d.hour > 24 || d.min > 59 || d.sec > 60 {
		return time.Time{}, false
	}
	loc := time.UTC
	if d.zone != 0 {
		loc = time.FixedZone("", d.zone*60)
	}
	return time.Date(d.year, time.Month(d.month), d.day, max(d.hour, 0), d.min, d.sec, 0, loc), true
}

// month is 1 to 12 for a name of a month, 0 for any other word.
func month(w string) int {
	if len(w) < 3 || len(w) > 9 {
		return 0
	}
	i := strings.Index(monthNames, strings.ToLower(w[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return i/3 + 1
}
