package dnsx

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/dns"
)

var (
	// ErrNoDNSSEC is what Prove finds of a resolver that must not be trusted.
	ErrNoDNSSEC = errors.New("the resolver does not check DNSSEC, or does not tell")
	// ErrUntold is an ErrNoDNSSEC of one that says of nothing that it is proven: who
	// trusts it believes nothing that is wrong.
	ErrUntold = fmt.Errorf("%w: nothing is said of a name that is signed", ErrNoDNSSEC)
)

// Prove sees that the resolver checks DNSSEC and tells of it: its answer for a name
// that is signed says so (RFC 6840 §5.8), and there is none for a name whose
// signatures are wrong on purpose (RFC 4035 §5.5). An error that is not ErrNoDNSSEC
// means that no proof could be made.
func (r *Resolver) Prove(ctx context.Context, signed, bogus string) error {
	answer, err := r.question(ctx, dns.Fqdn(signed), dns.TypeA)
	switch {
	case err != nil:
		return fmt.Errorf("look up %s: %w", signed, err)
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("look up %s: %w", signed, ErrNotFound)
	case !answer.AuthenticatedData:
		return fmt.Errorf("%w: %s", ErrUntold, signed)
	}
	answer, err = r.question(ctx, dns.Fqdn(bogus), dns.TypeA)
	switch {
	case errors.Is(err, errServFail):
		return nil
	case err != nil:
		return fmt.Errorf("look up %s: %w", bogus, err)
	case answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("look up %s: %w", bogus, ErrNotFound)
	}
	return fmt.Errorf("%w: there is an answer for %s, whose signatures are wrong on purpose", ErrNoDNSSEC, bogus)
}
