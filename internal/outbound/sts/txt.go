package sts

import (
	"context"
	"errors"
	"net"

	"github.com/hayauma/hayauma/internal/dnsx"
)

// LookupTXT returns a function that asks for TXT records: the server that the
// settings name, "addr" or "addr:port", or, where that is empty, the system's.
// Nothing is remembered here: the Store does that.
func LookupTXT(server func() string) func(ctx context.Context, name string) ([]string, error) {
	return func(ctx context.Context, name string) ([]string, error) {
		r := &net.Resolver{PreferGo: true}
		if to := server(); to != "" {
			if _, _, err := net.SplitHostPort(to); err != nil {
				to = net.JoinHostPort(to, "53")
			}
			r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, to)
			}
		}
		records, err := r.LookupTXT(ctx, name+".") // the dot keeps the system's search list out
		if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
			return nil, &dnsx.Error{Name: name, Type: "TXT", Kind: dnsx.ErrNotFound}
		}
		return records, err
	}
}
