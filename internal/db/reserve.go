package db

import "context"

type reserveKey struct{}

// WithReserve marks a Write that gives space back, such as delete and expunge, or with
// which somebody lets mail go and that adds next to nothing: it still works when the free
// space has fallen so low that others get ErrFull.
func WithReserve(ctx context.Context) context.Context {
	return context.WithValue(ctx, reserveKey{}, true)
}

// HasReserve is for engines: it reports whether ctx came from WithReserve.
func HasReserve(ctx context.Context) bool { return ctx.Value(reserveKey{}) != nil }
