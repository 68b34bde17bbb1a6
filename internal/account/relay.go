package account

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// How it is known which recipients a relay domain has.
const (
	ByList = "list" // they are listed here
	ByAsk  = "ask"  // the next host is asked for those that are not listed
	ByAny  = "any"  // it is not: all pass
)

// VerifyTLS asks that a next host proves who it is.
const VerifyTLS = "verify"

// Relay is how the mail of a domain goes on whose mailboxes are elsewhere: all of
// them or, if it is split, those that are not here.
type Relay struct {
	Recipients string `json:"recipients"` // ByList, ByAsk or ByAny
	Split      bool   `json:"split,omitempty"`
	// To are the next hosts in the order in which they are tried, "host" or
	// "host:port"; none = the mail exchangers of the domain.
	To  []string `json:"to,omitempty"`
	TLS string   `json:"tls,omitempty"` // VerifyTLS, or empty: if the host offers it
}

// Errors for people.
var (
	ErrNotSplit = errors.New("the domain has accounts or aliases here: make it a split domain with '--split', or remove them first")
	ErrCatchAll = errors.New("a relay domain can have no catch-all: what is not found here goes on")
	ErrRelay    = errors.New("the mailboxes of this relay domain are elsewhere: to have some here, make it a split domain with 'hayauma domain set DOMAIN --split'")
	ErrNotRelay = errors.New("this is no relay domain: 'hayauma domain set DOMAIN --relay' makes it one")
	ErrNextHost = errors.New("a next host is written HOST, HOST:PORT or [IPV6]:PORT")
)

// maxNextHosts is how many an attempt tries.
const maxNextHosts = 5

// relayTables say which domains are relay domains, and who is there. A key is
// mail.Address.Key.
const relayTables = `
ALTER TABLE domain ADD COLUMN relay TEXT NOT NULL DEFAULT '';
ALTER TABLE domain ADD COLUMN split INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domain ADD COLUMN next_hosts TEXT NOT NULL DEFAULT '';
ALTER TABLE domain ADD COLUMN next_tls TEXT NOT NULL DEFAULT '';
CREATE TABLE relay_recipient (
	domain TEXT NOT NULL REFERENCES domain (name),
	key    TEXT NOT NULL,
	PRIMARY KEY (domain, key)
) WITHOUT ROWID;
`

// columns are the values of the table domain; nil is a domain that is at home here.
func (r *Relay) columns() ([]any, error) {
	if r == nil {
		return []any{"", 0, "", ""}, nil
	}
	if r.Recipients != ByList && r.Recipients != ByAsk && r.Recipients != ByAny {
		return nil, fmt.Errorf("%q: who the recipients are is known by '%s', or '%s', or '%s' passes", r.Recipients, ByList, ByAsk, ByAny)
	}
	if r.TLS != "" && r.TLS != VerifyTLS {
		return nil, fmt.Errorf("%q: TLS with a next host is 'opportunistic' or '%s'", r.TLS, VerifyTLS)
	}
	if len(r.To) > maxNextHosts {
		return nil, fmt.Errorf("a relay domain may have %d next hosts", maxNextHosts)
	}
	if r.TLS != "" && len(r.To) == 0 {
		return nil, errors.New("TLS is verified with next hosts only: mail exchangers are proven by DANE or MTA-STS of the domain")
	}
	to := make([]string, 0, len(r.To))
	for _, text := range r.To {
		host, port, err := SplitNextHost(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		if port != 0 {
			host = net.JoinHostPort(host, strconv.Itoa(port))
		}
		to = append(to, host)
	}
	split := 0
	if r.Split {
		split = 1
	}
	return []any{r.Recipients, split, strings.Join(to, " "), r.TLS}, nil
}

// SplitNextHost reads a next host; port 0 = the usual one. An address comes without
// brackets.
func SplitNextHost(s string) (host string, port int, err error) {
	host = s
	if h, p, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, ErrNextHost
		}
		host, port = h, int(n)
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && addr.Zone() == "" {
		return addr.String(), port, nil
	}
	d, err := mail.ParseDomain(host)
	if _, literal := d.Literal(); err != nil || literal {
		return "", 0, ErrNextHost
	}
	return d.ASCII, port, nil
}

// scanRelay reads a row whose last columns are those of a relay domain.
func scanRelay(rows db.Rows, before ...any) (*Relay, error) {
	var recipients, to, tls string
	var split int
	if err := rows.Scan(append(before, &recipients, &split, &to, &tls)...); err != nil || recipients == "" {
		return nil, err
	}
	return &Relay{Recipients: recipients, Split: split != 0, To: strings.Fields(to), TLS: tls}, nil
}

// startRelay is start for an address of a relay domain: those that are here come
// first, then it is whether the address is one of those that pass.
func (x *expansion) startRelay(a mail.Address, key string, r Relay) (found string, got *answer, err error) {
	if r.Split {
		if found, got, err = x.among(names(a)); got != nil || err != nil {
			return found, got, err
		}
	}
	on, err := x.passes(a, r)
	if err != nil || on {
		return "", &answer{target: Target{Kind: Onward}}, err
	}
	if !mail.IsPostmaster(a.Local) {
		return "", &answer{target: r.unlisted()}, nil
	}
	// RFC 5321 §4.5.1: the domain has one whatever a list or its host says. Where
	// nobody here could read it, it is left to the next host.
	if got, err = x.answer(x.postmaster(a.Domain)); err == nil && x.kind != Here {
		got.target = Target{Kind: Onward}
	}
	return key, got, err
}

// leadOn adds whom an address of a relay domain leads to from the alias by. One of a split
// domain that leads to itself means the mailbox on the far side.
func (x *expansion) leadOn(a mail.Address, r Relay, by string) error {
	key, self := a.Key(), r.Split && slices.Contains(names(a), by)
	if x.seen[key] && !self {
		return nil
	}
	x.seen[key] = true
	if r.Split {
		for _, name := range names(a) {
			if name == by {
				break
			}
			if found, err := x.at(name); err != nil || found {
				return err
			}
		}
	}
	on, err := x.passes(a, r)
	switch {
	case err != nil:
		return err
	case on, self && mail.IsPostmaster(a.Local): // RFC 5321 §4.5.1: there is one
		return x.forward(a)
	case mail.IsPostmaster(a.Local):
		return x.postmaster(a.Domain)
	case r.Recipients == ByAsk:
		return x.forward(a) // who made the alias knows that it is there
	}
	x.lose(key, a)
	return nil
}

// passes tells whether it is known that an address that is not here goes on.
func (x *expansion) passes(a mail.Address, r Relay) (bool, error) {
	if r.Recipients == ByAny {
		return true, nil
	}
	return listed(x.tx, a)
}

// unlisted is where an address leads that is not in the list.
func (r Relay) unlisted() Target {
	if r.Recipients == ByAsk {
		return Target{Kind: Onward, Ask: true}
	}
	return Target{Kind: Unknown}
}
