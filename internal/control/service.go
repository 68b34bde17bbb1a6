package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/policy"
	"github.com/hayauma/hayauma/internal/policy/callahead"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/source"
)

// Service is what the calls work on.
type Service struct {
	Directory *account.Directory
	Bans      *ban.List
	Mailboxes *mailbox.Store
	Queue     *queue.Queue
	Log       *event.Log
	Intake    *intake.Intake
	Policy    *policy.Policy
	Rules     *rule.Store
	Rates     *rate.Limiter
	Blobs     blob.Store
	Outbound  *outbound.Outbound
	Reports   *tlsreport.Reports
	Classes   *classify.Classifier
	Shaping   *shaping.Store
	Routes    *route.Store
	Sources   *source.Store
	Journal   *shaping.Journal
	Ahead     *callahead.Book
	Schedules *retry.Store
	Retry     func() []SiteLimit // that hold for every destination
	// Verify checks every checksum and reference of the stores and returns
	// what is wrong.
	Verify func(context.Context) ([]string, error)
}

// Handler serves the calls. Who may reach it may do everything: the socket is
// for its owner alone.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	s.handleDomains(mux)
	handle(mux, AccountAdd, s.accountAdd)
	handle(mux, AccountRemove, s.accountRemove)
	handle(mux, AccountPasswd, s.accountPasswd)
	handle(mux, AccountQuota, s.accountQuota)
	handle(mux, AccountLanguage, s.accountLanguage)
	handle(mux, AccountList, s.accountList)
	handle(mux, AppPasswordAdd, s.appPasswordAdd)
	handle(mux, AppPasswordRevoke, s.appPasswordRevoke)
	handle(mux, AppPasswordList, s.appPasswordList)
	handle(mux, IdentityAdd, s.identityAdd)
	handle(mux, IdentityRemove, s.identityRemove)
	handle(mux, IdentityList, s.identityList)
	handle(mux, AliasAdd, s.aliasAdd)
	handle(mux, AliasRemove, s.aliasRemove)
	handle(mux, AliasList, s.aliasList)
	s.handleBans(mux)
	s.handlePolicy(mux)
	s.handleRates(mux)
	mux.HandleFunc("POST /v1/"+QueueList.Name, s.queueList)
	handle(mux, QueueShow, s.queueShow)
	for _, v := range s.queueVerbs() {
		handle(mux, v.call, v.serve)
	}
	s.handleExport(mux)
	handle(mux, QueueReroute, s.reroute)
	s.handleSchedules(mux)
	s.handleOutbound(mux)
	s.handleRoutes(mux)
	s.handleSources(mux)
	handle(mux, Trace, s.trace)
	handle(mux, Recall, s.recall)
	handle(mux, Check, s.check)
	mux.HandleFunc("POST /v1/send", s.send)
	mux.HandleFunc("POST /v1/send/again", s.sendAgain)
	mux.HandleFunc("/", unknown)
	return mux
}

// named adds to an error which name it is about.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (s *Service) onAccount(address string, act func(mail.Address) error) (Empty, error) {
	a, err := mail.ParseAddress(address)
	if err == nil {
		err = act(a)
	}
	return Empty{}, named(address, err)
}

func (s *Service) accountAdd(ctx context.Context, in AccountLogin) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error {
		if _, err := s.Directory.AddAccount(ctx, a, in.Password); err != nil {
			return err
		}
		return s.verifier(ctx, a, in)
	})
}

func (s *Service) accountRemove(ctx context.Context, in AccountName) (out AccountLeft, err error) {
	_, err = s.onAccount(in.Address, func(a mail.Address) error {
		acc, err := s.Directory.Find(ctx, a)
		if err != nil {
			return err
		}
		if err := s.Directory.RemoveAccount(ctx, a); err != nil {
			return err
		}
		out, err = s.left(ctx, acc)
		if err != nil {
			return fmt.Errorf("it is removed; what it leaves behind could not be found: %w", err)
		}
		return nil
	})
	return out, err
}

// left is what a removed account leaves behind.
func (s *Service) left(ctx context.Context, acc account.Account) (AccountLeft, error) {
	out := AccountLeft{ID: acc.ID.String()}
	sent := queue.Filter{Account: acc.ID, DryRun: true}
	waiting, err := s.Queue.Delete(ctx, sent)
	if err != nil {
		return out, err
	}
	held, err := s.Queue.Release(ctx, sent)
	if err != nil {
		return out, err
	}
	out.Waiting, out.Held = waiting.All(), held.All()
	nowhere, err := s.Directory.LeadNowhere(ctx, acc.Address.String())
	if err != nil || len(nowhere) == 0 {
		return out, err
	}
	out.Aliases, err = s.Directory.AliasesTo(ctx, acc.Address)
	return out, err
}

func (s *Service) accountPasswd(ctx context.Context, in AccountLogin) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error {
		if err := s.Directory.SetPassword(ctx, a, in.Password); err != nil {
			return err
		}
		return s.verifier(ctx, a, in)
	})
}

// verifier makes a password known to SCRAM, if that was asked for.
func (s *Service) verifier(ctx context.Context, a mail.Address, in AccountLogin) error {
	if !in.SCRAM {
		return nil
	}
	return s.Directory.SetVerifier(ctx, a, in.Password)
}

func (s *Service) accountQuota(ctx context.Context, in AccountSettings) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error {
		if in.Quota < 0 && in.Quota != account.DefaultQuota {
			return errors.New("a quota cannot be negative")
		}
		return s.Directory.SetQuota(ctx, a, in.Quota)
	})
}

func (s *Service) accountLanguage(ctx context.Context, in AccountSettings) (Empty, error) {
	return s.onAccount(in.Address, func(a mail.Address) error { return s.Directory.SetLanguage(ctx, a, in.Language) })
}

func (s *Service) accountList(ctx context.Context, _ Empty) ([]AccountInfo, error) {
	accounts, err := s.Directory.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]AccountInfo, 0, len(accounts))
	for _, a := range accounts {
		used, err := s.Mailboxes.Usage(ctx, a.ID)
		if err != nil {
			return nil, named(a.Address.String(), err)
		}
		out = append(out, AccountInfo{
			Address: a.Address.String(), ID: a.ID.String(), Quota: s.Directory.Quota(a), Default: a.Quota == account.DefaultQuota,
			Used: used.Bytes, Messages: used.Messages, Language: a.Language, Created: rfc3339(a.Created),
		})
	}
	return out, nil
}

func rfc3339(micros int64) string { return mail.FromMicros(micros).Format(time.RFC3339) }

func (s *Service) aliasAdd(ctx context.Context, in account.Alias) (out AliasAdded, err error) {
	if err := s.Directory.SetAlias(ctx, in.Address, in.Targets); err != nil {
		return out, named(in.Address, err)
	}
	out.Nowhere, err = s.Directory.LeadNowhere(ctx, in.Targets...)
	return out, named(in.Address, err)
}

func (s *Service) aliasRemove(ctx context.Context, in AliasName) (Empty, error) {
	return Empty{}, named(in.Address, s.Directory.RemoveAlias(ctx, in.Address))
}

func (s *Service) aliasList(ctx context.Context, _ Empty) ([]account.Alias, error) {
	return s.Directory.Aliases(ctx)
}

func (s *Service) trace(ctx context.Context, in MessageName) ([]event.Timeline, error) {
	return s.Log.Trace(ctx, in.Message)
}

func (s *Service) check(ctx context.Context, _ Empty) ([]string, error) { return s.Verify(ctx) }
