package smtp

import (
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// ParsePriority reads the MT-PRIORITY parameter (RFC 6710 §7).
func ParsePriority(s string) (mail.Priority, error) {
	digit := strings.TrimPrefix(s, "-")
	if len(digit) != 1 || digit[0] < '0' || digit[0] > '9' || s == "-0" {
		return 0, ErrParam
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, ErrParam
	}
	return mail.Priority(n), nil
}

// By is the BY parameter, in which time counts from when it is said (RFC 2852 §4).
type By struct {
	In            time.Duration // may be negative unless Return
	Return, Trace bool
}

// ParseBy reads the BY parameter: seconds with up to nine digits, a semicolon, and
// what to do when they are over.
func ParseBy(s string) (By, error) {
	seconds, mode, has := strings.Cut(s, ";")
	digits := strings.TrimLeft(seconds, "+-")
	if !has || len(digits) < len(seconds)-1 || digits == "" || len(digits) > 9 {
		return By{}, ErrParam
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return By{}, ErrParam
	}
	by := By{In: time.Duration(n) * time.Second}
	switch strings.ToUpper(mode) {
	case "N":
	case "NT":
		by.Trace = true
	case "R":
		by.Return = true
	case "RT":
		by.Return, by.Trace = true, true
	default:
		return By{}, ErrParam
	}
	if by.Return && n <= 0 {
		return By{}, ErrParam
	}
	return by, nil
}

// String is the inverse of ParseBy. What is left of a second is not promised.
func (b By) String() string {
	const most = 999_999_999
	seconds := int64(b.In / time.Second)
	if b.In < 0 && b.In%time.Second != 0 {
		seconds--
	}
	mode := "N"
	if b.Return {
		mode = "R"
	}
	if b.Trace {
		mode += "T"
	}
	return strconv.FormatInt(max(-most, min(seconds, most)), 10) + ";" + mode
}
