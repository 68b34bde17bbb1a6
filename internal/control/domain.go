package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

// DomainSettings are what can be set of a domain; nil = it stays as it is, or as it is
// for a new one.
type DomainSettings struct {
	Domain     string    `json:"domain"`
	Relay      *bool     `json:"relay,omitempty"`      // its mail goes on
	Recipients *string   `json:"recipients,omitempty"` // see account.Relay, like the rest
	Split      *bool     `json:"split,omitempty"`
	To         *[]string `json:"to,omitempty"`
	TLS        *string   `json:"tls,omitempty"`
}

// Recipient is an address of a relay domain.
type Recipient struct {
	Address string `json:"address"`
}

// RecipientPage asks for up to MaxPage addresses behind another one, in their order.
type RecipientPage struct {
	Domain string `json:"domain"`
	After  string `json:"after,omitempty"`
}

// MaxPage is how many addresses one answer has; if it has fewer, there are no more.
const MaxPage = 10_000

// ImportRecipients hands a list over as a stream, which replaces that of a relay domain
// in one commit.
func ImportRecipients(ctx context.Context, c *Client, domain string, list io.Reader) (account.Imported, error) {
	var done account.Imported
	err := c.post(ctx, "/v1/domain/recipient/import?"+url.Values{"domain": {domain}}.Encode(), list, &done)
	return done, err
}

func (s *Service) handleDomains(mux *http.ServeMux) {
	handle(mux, DomainAdd, s.domainAdd)
	handle(mux, DomainSet, s.domainSet)
	handle(mux, DomainRemove, s.domainRemove)
	handle(mux, DomainList, s.domainList)
	handle(mux, RecipientAdd, s.recipientAdd)
	handle(mux, RecipientRemove, s.recipientRemove)
	handle(mux, RecipientList, s.recipientList)
	mux.HandleFunc("POST /v1/domain/recipient/import", s.recipientImport)
}

func (s *Service) domainAdd(ctx context.Context, in DomainSettings) (Empty, error) {
	return s.onDomain(DomainName{in.Domain}, func(d mail.Domain) error {
		relay, err := in.apply(nil)
		if err != nil {
			return err
		}
		return s.Directory.AddRelayDomain(ctx, d, relay)
	})
}

func (s *Service) domainSet(ctx context.Context, in DomainSettings) (Empty, error) {
	return s.onDomain(DomainName{in.Domain}, func(d mail.Domain) error {
		if err := s.Directory.ChangeDomain(ctx, d, in.apply); err != nil {
			return err
		}
		return s.Ahead.Forget(ctx, d) // it may be another host now
	})
}

// apply makes what is set of what was.
func (in DomainSettings) apply(was *account.Relay) (*account.Relay, error) {
	sets := in.Recipients != nil || in.Split != nil || in.To != nil || in.TLS != nil
	switch {
	case in.Relay != nil && !*in.Relay && sets:
		return nil, errors.New("the mail of a domain that is no relay domain goes nowhere else")
	case in.Relay != nil && !*in.Relay:
		return nil, nil
	case was == nil && in.Relay == nil && sets:
		return nil, account.ErrNotRelay
	case was == nil && in.Relay == nil:
		return nil, nil
	}
	r := account.Relay{Recipients: account.ByList}
	if was != nil {
		r = *was
	}
	if in.Recipients != nil {
		r.Recipients = *in.Recipients
	}
	if in.Split != nil {
		r.Split = *in.Split
	}
	if in.To != nil {
		r.To = *in.To
	}
	if in.TLS != nil {
		r.TLS = *in.TLS
	}
	return &r, nil
}

func (s *Service) domainRemove(ctx context.Context, in DomainName) (Empty, error) {
	return s.onDomain(in, func(d mail.Domain) error {
		if err := s.unbound(ctx, d); err != nil {
			return err
		}
		if err := s.Directory.RemoveDomain(ctx, d); err != nil {
			return err
		}
		return errors.Join(s.Rates.ClearLimits(ctx, rate.ForDomain(d)), s.Ahead.Forget(ctx, d))
	})
}

// unbound refuses to give up a domain of ours for which mail waits: that would go where
// MX leads, which may be back to us.
func (s *Service) unbound(ctx context.Context, d mail.Domain) error {
	local, err := s.Directory.IsLocal(ctx, d)
	relay, rerr := s.Directory.Relay(ctx, d)
	if err = errors.Join(err, rerr); err != nil || !local && relay == nil {
		return err // it is not ours
	}
	n, err := s.Queue.Bound(ctx, d.ASCII)
	if err == nil && n > 0 {
		err = fmt.Errorf("mail in the queue waits for this domain, for %d recipients: once it is delivered the domain can be removed; 'hayauma queue list --domain %s' tells why it waits, 'hayauma queue bounce' returns it, 'hayauma queue reroute' gives it another way", n, d.ASCII)
	}
	return err
}

func (s *Service) onDomain(in DomainName, act func(mail.Domain) error) (Empty, error) {
	d, err := mail.ParseDomain(in.Domain)
	if err == nil {
		err = act(d)
	}
	return Empty{}, named(in.Domain, err)
}

func (s *Service) domainList(ctx context.Context, _ Empty) ([]account.DomainInfo, error) {
	domains, err := s.Directory.Domains(ctx)
	for i, d := range domains {
		if d.Relay == nil || d.Relay.Recipients != account.ByAsk {
			continue
		}
		all, aerr := s.Ahead.TakesAll(ctx, mail.Domain{ASCII: d.Name})
		domains[i].TakesAll = all
		err = errors.Join(err, aerr)
	}
	return domains, err
}

func (s *Service) recipientAdd(ctx context.Context, in Recipient) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error { return s.Directory.AddRecipient(ctx, a) })
}

func (s *Service) recipientRemove(ctx context.Context, in Recipient) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error { return s.Directory.RemoveRecipient(ctx, a) })
}

func (s *Service) recipientList(ctx context.Context, in RecipientPage) (out []string, err error) {
	_, err = s.onDomain(DomainName{in.Domain}, func(d mail.Domain) error {
		r, err := s.Directory.Relay(ctx, d)
		if err != nil {
			return err
		}
		if r == nil {
			return account.ErrNotRelay
		}
		out, err = s.Directory.Recipients(ctx, d, in.After, MaxPage)
		return err
	})
	return out, err
}

func (s *Service) recipientImport(w http.ResponseWriter, r *http.Request) {
	var done account.Imported
	_, err := s.onDomain(DomainName{r.URL.Query().Get("domain")}, func(d mail.Domain) (err error) {
		done, err = s.Directory.ImportRecipients(r.Context(), d, r.Body)
		return err
	})
	reply(w, done, err)
}
