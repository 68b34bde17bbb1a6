package app

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/hayauma/hayauma/internal/access/imapd"
	"github.com/hayauma/hayauma/internal/access/pop3d"
	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/returnpath"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/smtpd"
)

// Each part asks for its settings when it needs them, so that a reload is seen
// by the next command, message or attempt.

func (a *app) hostname() string { return a.cfg.Load().Hostname }

func (a *app) intakeSettings() intake.Settings {
	c := a.cfg.Load()
	return intake.Settings{
		Hostname: c.Hostname, MessageSize: int64(c.Limits.MessageSize),
		HeaderSize: int64(c.Limits.HeaderSize), Recipients: c.Limits.Recipients, HideClient: c.Submission.HideClient,
	}
}

func (a *app) smtpSettings() smtpd.Settings {
	c := a.cfg.Load()
	return smtpd.Settings{
		Hostname: c.Hostname, MessageSize: int64(c.Limits.MessageSize), AllowCleartext: c.Auth.AllowCleartext,
		CommandTimeout: c.Timeouts.SMTPCommand, DataTimeout: c.Timeouts.DataBlock, Junk: c.SMTP.JunkCommands,
		Tarpit: c.SMTP.Tarpit, GreetingDelay: c.SMTP.GreetingDelay, Verify: c.SMTP.VRFY, Recipients: c.Limits.Recipients,
		Priority: mail.Priority(c.SMTP.HighestPriority), Hold: c.Submission.Hold,
	}
}

// holdQueue keeps what an account has sent from going on, releaseQueue lets it.
func (a *app) holdQueue(ctx context.Context, id mail.ID) error {
	_, err := a.queue.HoldAccount(ctx, id)
	return err
}

func (a *app) releaseQueue(ctx context.Context, id mail.ID) error {
	_, err := a.queue.ReleaseAccount(ctx, id)
	return err
}

// waitingQueue is how much would go on.
func (a *app) waitingQueue(ctx context.Context, id mail.ID) (int, error) {
	t, err := a.queue.Release(ctx, queue.Filter{Account: id, DryRun: true})
	return t.All(), err
}

// sendLimits are those of an account; a domain or a key has none but its own.
func (a *app) sendLimits(k rate.Kind) rate.Limits {
	if k != rate.Account {
		return rate.Limits{}
	}
	s := a.cfg.Load().Submission
	var l rate.Limits
	for i, most := range []int{
		s.MessagesPerMinute, s.MessagesPerHour, s.MessagesPerDay,
		s.RecipientsPerMinute, s.RecipientsPerHour, s.RecipientsPerDay, s.NewRecipientsPerDay,
	} {
		l[i] = int64(most)
	}
	return l
}

func (a *app) imapSettings() imapd.Settings {
	c := a.cfg.Load()
	return imapd.Settings{
		Hostname: c.Hostname, MessageSize: int64(c.Limits.MessageSize), AllowCleartext: c.Auth.AllowCleartext,
		IdleTimeout: c.Timeouts.IMAPIdle, Errors: c.Limits.ErrorsPerSession,
	}
}

func (a *app) pop3Settings() pop3d.Settings {
	c := a.cfg.Load()
	return pop3d.Settings{
		Hostname: c.Hostname, AllowCleartext: c.Auth.AllowCleartext,
		Idle: c.Timeouts.POP3Idle, Errors: c.Limits.ErrorsPerSession,
	}
}

func (a *app) queueSettings() queue.Settings {
	c := a.cfg.Load()
	return queue.Settings{
		Hold: c.Queue.Hold, Retry: c.Queue.Retry, Lifetime: c.Queue.Lifetime, DelayNotice: c.Queue.DelayNotice,
		Memory: int64(c.Queue.Memory), Concurrency: c.Outbound.Concurrency, PerSite: c.Outbound.PerDestination,
		Grace: c.Timeouts.ShutdownGrace,
	}
}

func (a *app) outboundSettings() outbound.Settings {
	c := a.cfg.Load()
	s := outbound.Settings{
		Port: c.Outbound.Port, Proxy: c.Outbound.Proxy, MessagesPerConnection: c.Outbound.MessagesPerConnection, ByData: !c.Outbound.Chunking,
		MTASTS: c.Outbound.MTASTS, IPv4Only: !c.Outbound.IPv6,
		ConnectTimeout: c.Outbound.ConnectTimeout, IdleTimeout: c.Outbound.IdleTimeout, Grace: c.Timeouts.ShutdownGrace,
	}
	out := a.outward.Load()
	s.SmartHost, s.ProxyPassword = out.smartHost, out.proxyPassword
	return s
}

// relayDomain tells how mail for a relay domain goes on, nil if a site is none.
func (a *app) relayDomain(ctx context.Context, site string) (*outbound.Relay, error) {
	r, err := a.directory.Relay(ctx, mail.Domain{ASCII: site})
	if err != nil || r == nil {
		return nil, err
	}
	out := &outbound.Relay{Verify: r.TLS == account.VerifyTLS}
	for _, to := range r.To {
		host, port, err := account.SplitNextHost(to)
		if err != nil {
			return nil, err
		}
		out.To = append(out.To, route.Host{Name: host, Port: port})
	}
	return out, nil
}

// returnPaths are made as the settings say; what they name was checked when they
// were read.
func (a *app) returnPaths() returnpath.Settings {
	o := a.cfg.Load().Outbound
	d, _ := mail.ParseDomain(o.BounceDomain) // an empty one is no domain
	return returnpath.Settings{Mode: returnpath.Mode(o.ReturnPath), Domain: d}
}

func (a *app) reportSettings() tlsreport.Settings {
	c := a.cfg.Load()
	return tlsreport.Settings{On: c.Reports.TLS, Hostname: c.Hostname, Organization: c.Reports.Organization, Contact: c.Reports.Contact}
}

// retryLimits are those of every destination, by the settings that they come from.
func (a *app) retryLimits() []control.SiteLimit {
	c := a.cfg.Load()
	return []control.SiteLimit{
		{Limit: control.GivenUpAfter, Value: config.FormatDuration(c.Queue.Lifetime), From: "queue.lifetime"},
	}
}

// outward is what is read of the way out once, with the passwords that files hold.
type outward struct {
	smartHost     outbound.SmartHost // zero = mail goes to the MX
	proxyPassword string
}

// outwardOf reads smart host and proxy.
func outwardOf(c *config.Config) (*outward, error) {
	o, out := c.Outbound, new(outward)
	var err error
	if out.proxyPassword, err = o.ProxyPassword(); err != nil {
		return nil, fmt.Errorf("outbound.proxy_password_file: %w", err)
	}
	if o.SmartHost == "" {
		return out, nil
	}
	host, text, err := net.SplitHostPort(o.SmartHost)
	if err != nil {
		return nil, fmt.Errorf("outbound.smart_host: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("outbound.smart_host: %w", err)
	}
	out.smartHost = outbound.SmartHost{Host: host, Port: port, User: o.SmartHostUser, TLS: o.SmartHostTLS}
	if o.SmartHostPasswordFile != "" {
		out.smartHost.Password, err = o.SmartHostPassword()
	}
	return out, err
}
