package dnsx

import (
	"context"
	"encoding/hex"

	"github.com/miekg/dns"
)

// TLSA is a record that names a certificate, a key or an authority (RFC 6698 §2.1).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// TLSA returns the records at a name like "_25._tcp.mx.example.org". Records that
// are not secure prove nothing.
func (r *Resolver) TLSA(ctx context.Context, name string) (records []TLSA, secure bool, err error) {
	e := r.lookup(ctx, name, dns.TypeTLSA)
	if e.err != nil {
		return nil, false, e.err
	}
	for _, rr := range e.records {
		t, ok := rr.(*dns.TLSA)
		if !ok {
			continue
		}
		data, err := hex.DecodeString(t.Certificate)
		if err != nil {
			return nil, false, &Error{Name: name, Type: "TLSA", Kind: ErrTemporary, Cause: err}
		}
		records = append(records, TLSA{Usage: t.Usage, Selector: t.Selector, Matching: t.MatchingType, Data: data})
	}
	return records, e.secure && r.Trusted(), nil
}

// TLSABases returns the names of a host below which its TLSA records are looked for,
// the preferred one first (RFC 7672 §2.2.2). There are none if nothing proves the
// host's addresses: nothing there would be proven either, and such questions are what
// the servers of some unsigned zones do not answer.
func (r *Resolver) TLSABases(ctx context.Context, host string) ([]string, error) {
	if !r.Trusted() {
		return nil, nil
	}
	host = plain(host)
	found, aliased := false, false
	var failed error
	// One family that is proven is enough: the TLSA records must be so themselves.
	for _, qtype := range []uint16{dns.TypeAAAA, dns.TypeA} {
		e := r.lookup(ctx, host, qtype)
		found = found || e.err == nil
		switch {
		case none(e.err):
		case e.err != nil:
			failed = e.err
		case e.secure && e.name == host:
			return []string{host}, nil
		case e.secure:
			return []string{e.name, host}, nil
		case e.name != host:
			aliased = true
		}
	}
	if !found {
		return nil, failed
	}
	if !aliased {
		return nil, nil
	}
	// RFC 7672 §2.1.3: that the end of the aliases is not proven does not tell whether
	// their beginning is.
	e := r.lookup(ctx, host, dns.TypeCNAME)
	switch {
	case e.err != nil && !none(e.err):
		return nil, e.err
	case e.err == nil && e.secure:
		return []string{host}, nil
	}
	return nil, nil
}
