package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

func (s *Service) appPasswordAdd(ctx context.Context, in AppPassword) (out NewPassword, err error) {
	_, err = s.onAccount(in.Address, func(a mail.Address) error {
		p, err := in.parse()
		if err != nil {
			return err
		}
		out.Password, err = s.Directory.AddAppPassword(ctx, a, p)
		return named(in.Name, err)
	})
	return out, err
}

func (p AppPassword) parse() (account.AppPassword, error) {
	out := account.AppPassword{Name: p.Name}
	for _, scope := range p.Scopes {
		out.Scopes = append(out.Scopes, account.Scope(scope))
	}
	for _, n := range p.Networks {
		prefix, err := netip.ParsePrefix(n)
		if addr, aerr := netip.ParseAddr(n); aerr == nil {
			addr = addr.Unmap() // as those of logins are
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			return out, fmt.Errorf("%q is no network and no address: write it like 192.0.2.0/24", n)
		}
		out.Networks = append(out.Networks, prefix.Masked())
	}
	if p.Expires != "" {
		at, err := time.Parse(time.RFC3339, p.Expires)
		if err != nil {
			return out, fmt.Errorf("the expiry: %w", err)
		}
		out.Expires = mail.Micros(at)
	}
	return out, nil
}

func (s *Service) appPasswordRevoke(ctx context.Context, in AppPassword) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error {
		return named(in.Name, s.Directory.RevokeAppPassword(ctx, a, in.Name))
	})
}

func (s *Service) appPasswordList(ctx context.Context, in AccountName) (out []AppPasswordInfo, err error) {
	_, err = s.onAccount(in.Address, func(a mail.Address) error {
		list, err := s.Directory.AppPasswords(ctx, a)
		for _, p := range list {
			out = append(out, appPasswordInfo(p))
		}
		return err
	})
	return out, err
}

func appPasswordInfo(p account.AppPassword) AppPasswordInfo {
	info := AppPasswordInfo{Name: p.Name, Created: rfc3339(p.Created), UsedFrom: p.UsedFrom}
	for _, s := range p.Scopes {
		info.Scopes = append(info.Scopes, string(s))
	}
	for _, n := range p.Networks {
		info.Networks = append(info.Networks, n.String())
	}
	if p.Expires != 0 {
		info.Expires = rfc3339(p.Expires)
	}
	if p.Used != 0 {
		info.Used = rfc3339(p.Used)
	}
	return info
}
