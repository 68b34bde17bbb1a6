// Package mtasts reads the TLS policies that mail domains publish over HTTPS
// (MTA-STS, RFC 8461).
package mtasts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// MaxSize is the most octets of a policy that are read (RFC 8461 §3.3).
	MaxSize = 64 << 10
	// maxAge is how long a policy may hold (RFC 8461 §3.2).
	maxAge = 31557600 * time.Second
)

// Mode is what a sender does where a policy is not met (RFC 8461 §5).
type Mode string

// The modes.
const (
	Enforce Mode = "enforce" // the host gets no mail
	Testing Mode = "testing" // it gets mail, and the domain a report
	None    Mode = "none"    // as if there were no policy
)

// Policy is what a domain asks of those who send mail to it.
type Policy struct {
	Mode   Mode
	MX     []string // patterns in lower case, A-labels: "mail.example.com", "*.example.net"
	MaxAge time.Duration
}

// Error says what is wrong with a policy.
type Error string

func (e Error) Error() string { return "the MTA-STS policy is invalid: " + string(e) }

func invalid(format string, args ...any) error { return Error(fmt.Sprintf(format, args...)) }

// Parse reads the text of a policy (RFC 8461 §3.2). Its errors are of type Error.
// Empty lines are ignored, because editors leave them; a max_age over a year
// counts as a year.
func Parse(text string) (Policy, error) {
	if len(text) > MaxSize {
		return Policy{}, invalid("it has more than %d octets", MaxSize)
	}
	var p Policy
	seen := map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimRight(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimLeft(value, " \t")
		if !ok || !isName(name) || !isValue(value) {
			return Policy{}, invalid("%.80q is not like \"name: value\"", line)
		}
		if name != "mx" && seen[name] {
			continue // the first one counts
		}
		seen[name] = true
		if err := p.set(name, value); err != nil {
			return Policy{}, err
		}
	}
	for _, name := range []string{"version", "mode", "max_age"} {
		if !seen[name] {
			return Policy{}, invalid("there is no %s", name)
		}
	}
	if len(p.MX) == 0 && p.Mode != None {
		return Policy{}, invalid("there is no mx")
	}
	return p, nil
}

// isValue accepts what the grammar calls an extension's value, and those that
// mean something here are such values as well.
func isValue(s string) bool {
	return s != "" && utf8.ValidString(s) && every(s, func(c byte) bool { return c >= ' ' && c != 0x7f })
}

// set takes one field over.
func (p *Policy) set(name, value string) error {
	switch name {
	case "version":
		if value != version {
			return invalid("version %.80q", value)
		}
	case "mode":
		p.Mode = Mode(value)
		if p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
			return invalid("mode %.80q", value)
		}
	case "max_age":
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(value) > 10 {
			return invalid("max_age %.80q", value)
		}
		p.MaxAge = time.Duration(min(n, uint64(maxAge/time.Second))) * time.Second
	case "mx":
		d, err := mail.ParseDomain(strings.TrimPrefix(value, "*."))
		if _, literal := d.Literal(); err != nil || literal || !every(value, func(c byte) bool { return c < 0x80 }) {
			return invalid("mx %.80q", value)
		}
		if strings.HasPrefix(value, "*.") {
			d.ASCII = "*." + d.ASCII
		}
		p.MX = append(p.MX, d.ASCII)
	}
	return nil
}

// Lines are the policy as its domain would write it, without what is not known.
func (p Policy) Lines() []string {
	out := make([]string, 0, 3+len(p.MX))
	out = append(out, "version: "+version, "mode: "+string(p.Mode))
	for _, mx := range p.MX {
		out = append(out, "mx: "+mx)
	}
	return append(out, fmt.Sprintf("max_age: %d", p.MaxAge/time.Second))
}

// Text is Lines in one piece, which Parse reads.
func (p Policy) Text() string { return strings.Join(p.Lines(), "\n") + "\n" }

// Names tells whether a host, an A-label name, is among those that may take mail:
// the wildcard stands for exactly one label (RFC 8461 §4.1).
func (p Policy) Names(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	_, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		suffix, wild := strings.CutPrefix(pattern, "*.")
		return wild && parent == suffix || pattern == host
	})
}
