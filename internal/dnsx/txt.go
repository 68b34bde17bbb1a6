package dnsx

import (
	"context"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// TXT returns the text records of a name, the strings of each joined.
func (r *Resolver) TXT(ctx context.Context, name string) ([]string, error) {
	e := r.lookup(ctx, name, dns.TypeTXT)
	if e.err != nil {
		return nil, e.err
	}
	out := make([]string, 0, len(e.records))
	for _, rr := range e.records {
		if t, ok := rr.(*dns.TXT); ok {
			out = append(out, literal(strings.Join(t.Txt, "")))
		}
	}
	return out, nil
}

// literal is a text of which the library wrote some octets as in a zone's file
// (RFC 1035 §5.1).
func literal(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		if i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 10, 8); err == nil {
				out = append(out, byte(n))
				i += 3
				continue
			}
		}
		i++
		out = append(out, s[i])
	}
	return string(out)
}
