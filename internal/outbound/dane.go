package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/tlspolicy/dane"
)

// daneRule is what the TLSA records of a host ask of a connection to it: TLS in any
// case, and a certificate that one of them proves, if any can be used (RFC 7672 §2.2).
// The zero rule says that the way to the host is not proven, or that it has no
// records.
func (o *Outbound) daneRule(ctx context.Context, site string, t target) rule {
	if !t.known {
		return rule{}
	}
	base, records, err := o.tlsaOf(ctx, t)
	if err != nil {
		// RFC 7672 §2.1.2: such a host counts as one that cannot be reached.
		return rule{policy: tlsaPolicy, source: "DANE", name: "the DANE policy of " + t.host, must: true,
			unnamed: mail.Temporary(mail.DirectoryFailure, "The TLSA records of "+t.host+" cannot be looked up for now (DANE)").Because(err),
			told:    "DANE: the TLSA records cannot be looked up: it gets no mail"}
	}
	if len(records) == 0 {
		return rule{}
	}
	// Resolvers rotate what they answer; the policy is the same.
	slices.SortFunc(records, func(a, b dane.Record) int { return strings.Compare(a.String(), b.String()) })
	r := rule{policy: tlsaPolicy, source: "DANE", name: "the DANE policy of " + base, base: base, must: true}
	for _, record := range records {
		r.lines = append(r.lines, record.String())
	}
	usable := dane.Usable(records)
	if len(usable) == 0 {
		r.failure, r.reason = tlsaInvalid, dane.ErrNoRecord.Error()
		r.told = fmt.Sprintf("DANE: TLS always; of %s none can be used, so that the certificate is not verified", count(len(records)))
		return r
	}
	// RFC 7672 §3.2.2: the domain may stand for all of its exchangers.
	names := slices.DeleteFunc([]string{base, site, t.domain}, func(name string) bool { return name == "" })
	r.verify = func(s tls.ConnectionState) error {
		if err := current(s); err != nil {
			return err
		}
		return dane.Verify(records, names, s.PeerCertificates, time.Now())
	}
	r.asks = base + " " + strings.Join(r.lines, ", ")
	if slices.ContainsFunc(usable, dane.Record.ByName) {
		r.asks += " for " + strings.Join(names, ", ")
	}
	r.told = fmt.Sprintf("DANE: TLS always; the certificate is verified by %s: %s", count(len(usable)), kinds(usable))
	return r
}

// tlsaOf looks the TLSA records of a host up, and the name below which they stand
// (RFC 7672 §2.2.3).
func (o *Outbound) tlsaOf(ctx context.Context, t target) (base string, records []dane.Record, err error) {
	bases, err := o.o.Resolver.TLSABases(ctx, t.host)
	if err != nil {
		return "", nil, err
	}
	for _, base := range bases {
		list, secure, err := o.o.Resolver.TLSA(ctx, fmt.Sprintf("_%d._tcp.%s", t.addr.Port(), base))
		switch {
		case errors.Is(err, dnsx.ErrNotFound), errors.Is(err, dnsx.ErrNoData):
			continue
		case err != nil:
			return "", nil, err
		case !secure || len(list) == 0:
			continue
		}
		for _, r := range list {
			records = append(records, dane.Record(r))
		}
		return base, records, nil
	}
	return "", nil, nil
}

func count(n int) string {
	if n == 1 {
		return "1 TLSA record"
	}
	return fmt.Sprintf("%d TLSA records", n)
}

// kinds are those of records, each once.
func kinds(records []dane.Record) string {
	var out []string
	for _, r := range records {
		if k := r.Kind(); !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return strings.Join(out, ", ")
}
