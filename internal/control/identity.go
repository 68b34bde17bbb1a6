package control

import (
	"context"

	"github.com/hayauma/hayauma/internal/mail"
)

func (s *Service) identityAdd(ctx context.Context, in Identity) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error { return s.Directory.AddIdentity(ctx, a, in.Identity) })
}

func (s *Service) identityRemove(ctx context.Context, in Identity) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error {
		return named(in.Identity, s.Directory.RemoveIdentity(ctx, a, in.Identity))
	})
}

func (s *Service) identityList(ctx context.Context, in AccountName) (out []string, err error) {
	_, err = s.onAccount(in.Address, func(a mail.Address) error {
		out, err = s.Directory.Identities(ctx, a)
		return err
	})
	return out, err
}
