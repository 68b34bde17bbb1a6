package smtp

import (
	"net/netip"
	"strconv"
	"strings"
)

// Attribute is one name and value of XCLIENT or XFORWARD, the extensions by
// which Postfix tells of a client that it speaks for.
type Attribute struct {
	Name  string // upper case
	Value string // decoded; empty = not known
}

// What stands for a value that is not known, for now or for good.
const unavailable, tempUnavailable = "[UNAVAILABLE]", "[TEMPUNAVAIL]"

// ParseAttributes reads what follows XCLIENT or XFORWARD.
func ParseAttributes(arg string) ([]Attribute, error) {
	var out []Attribute
	for word := range strings.FieldsSeq(arg) {
		name, value, has := strings.Cut(word, "=")
		value, err := DecodeXtext(value)
		if !has || err != nil || !validKeyword(name) || len(out) == maxParams || !printable(value) {
			return nil, ErrParam
		}
		if strings.EqualFold(value, unavailable) || strings.EqualFold(value, tempUnavailable) {
			value = ""
		}
		out = append(out, Attribute{Name: strings.ToUpper(name), Value: value})
	}
	if len(out) == 0 {
		return nil, ErrParam
	}
	return out, nil
}

// Addr reads an attribute that is an address; the zero one if it is not known.
func (a Attribute) Addr() (netip.Addr, error) {
	text := a.Value
	if len(text) > 5 && strings.EqualFold(text[:5], "IPV6:") {
		text = text[5:]
	}
	if text == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, ErrParam
	}
	return addr.Unmap(), nil
}

// Port reads an attribute that is a port; 0 if it is not known.
func (a Attribute) Port() (uint16, error) {
	if a.Value == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(a.Value, 10, 16)
	if err != nil {
		return 0, ErrParam
	}
	return uint16(n), nil
}
