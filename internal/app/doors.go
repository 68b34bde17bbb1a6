package app

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/hayauma/hayauma/internal/access/imapd"
	"github.com/hayauma/hayauma/internal/access/pop3d"
	"github.com/hayauma/hayauma/internal/certs"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/listen"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/internal/smtpd"
)

// buildDoors makes certificates and listeners, and the services behind them.
// The returned function gives the services of a configuration.
func (a *app) buildDoors() (func(*config.Config) []listen.Service, error) {
	cfg := a.cfg.Load()
	var err error
	if a.certs, err = certs.New(certOptions(cfg), a.log); err != nil {
		return nil, err
	}
	a.limits = ratelimit.NewConnections(connectionLimits(cfg, openFiles()))
	a.doors = listen.New(listen.Options{
		Limits: a.limits, Trusted: a.trusted, Proxies: a.proxies, Metrics: listen.NewMetrics(a.metrics), Logger: a.log,
	})

	authorities, err := cfg.Auth.ClientCAs()
	if err != nil {
		return nil, err
	}
	a.clientCAs.Store(authorities)
	secure := a.certs.Server(a.asksForCertificates)
	in := smtpd.New(smtpd.Options{
		Intake: a.intake, Policy: a.policy, Rules: a.rules, Rates: a.rates, Reverse: a.resolver.Reverse,
		Gate: a.gate, IDs: a.store.ids, TLS: secure, Fronts: a.fronts, Old: a.old, Pressed: a.store.memory.Wanted,
		Settings: a.smtpSettings, Metrics: smtpd.NewMetrics(a.metrics), Logger: a.log,
	})
	imap := imapd.New(imapd.Options{
		Mailboxes: a.mailboxes, Gate: a.gate, IDs: a.store.ids, TLS: secure,
		Settings: a.imapSettings, Metrics: imapd.NewMetrics(a.metrics), Logger: a.log,
	})
	pop := pop3d.New(pop3d.Options{
		Mailboxes: a.mailboxes, Gate: a.gate, IDs: a.store.ids, TLS: secure,
		Settings: a.pop3Settings, Metrics: pop3d.NewMetrics(a.metrics), Logger: a.log,
	})
	a.web = newHTTP(a)
	smtpAt := func(d mail.Door) func(context.Context, net.Conn) {
		return func(ctx context.Context, c net.Conn) { in.Serve(ctx, c, d) }
	}
	const smtpBusy, imapBusy, popBusy = "421 4.7.0 Too many connections, please try again later",
		"* BYE [UNAVAILABLE] Too many connections, please try again later", "-ERR [SYS/TEMP] Too many connections, please try again later"
	return func(c *config.Config) []listen.Service {
		l := c.Listen
		service := func(name string, addrs []string, secure *tls.Config, busy string, handle func(context.Context, net.Conn)) listen.Service {
			return listen.Service{Name: name, Addrs: addrs, TLS: secure, Busy: busy, Handle: handle}
		}
		return []listen.Service{
			service("smtp", l.SMTP, nil, smtpBusy, smtpAt(mail.DoorSMTP)),
			service("submission", l.Submission, nil, smtpBusy, smtpAt(mail.DoorSubmission)),
			service("submissions", l.Submissions, secure, smtpBusy, smtpAt(mail.DoorSubmission)),
			service("lmtp", l.LMTP, nil, smtpBusy, smtpAt(mail.DoorLMTP)),
			service("imap", l.IMAP, nil, imapBusy, imap.Serve),
			service("imaps", l.IMAPS, secure, imapBusy, imap.Serve),
			service("pop3", l.POP3, nil, popBusy, pop.Serve),
			service("pop3s", l.POP3S, secure, popBusy, pop.Serve),
			service("http", l.HTTP, nil, "", a.web.serve),
			service("https", l.HTTPS, secure, "", a.web.serve),
		}
	}, nil
}
