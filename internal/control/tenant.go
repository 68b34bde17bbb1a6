package control

import (
	"context"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

// tenant finds a tenant by its name.
func (s *Service) tenant(ctx context.Context, name string) (mail.ID, error) {
	all, err := s.Directory.Tenants(ctx)
	for id, known := range all {
		if known == name {
			return id, nil
		}
	}
	if err == nil {
		err = account.ErrNoTenant
	}
	return 0, named(name, err)
}
