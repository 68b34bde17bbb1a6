package outbound

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

var (
	errInjected = errors.New("the remote sent data before the TLS handshake")
	errNoTLS    = errors.New("it offers no STARTTLS")
)

// connect tries the hosts of the site until one of them is ready for mail, and may
// have the message. The problem is the last one met; but one that may pass
// outweighs those that will not.
func (w *worker) connect(p plan, env mail.Envelope) (*client, *problem) {
	w.o.pool.makeRoom(w.provider)
	p = w.o.reachable(p, w.site, w.group, w.provider)
	var tries []vain
	met := false // a host that lets us in, or may let others in
	for i, t := range p.targets {
		if i > 0 && w.ctx.Err() != nil {
			break
		}
		r := w.o.rule(w.ctx, w.set, w.site, t)
		if f := r.barred(); f != nil {
			if i == 0 || p.targets[i-1].host != t.host {
				w.report(t, r, nil)
			}
			barred := finding(f)
			barred.host, barred.addr, barred.aside = t.host, t.addr, r.aside
			tries = append(tries, vainAt(t, &barred, true))
			continue
		}
		c, problem := w.greet(t, r)
		if c != nil {
			w.o.o.Metrics.connection(kindOf(c))
			if w.o.o.Sources != nil {
				w.o.doors.open(w.site)
			}
			f := w.safe(c, env)
			if f == nil {
				w.tell(tries, nil)
				return c, nil
			}
			problem, met = about(c, finding(f)), true
			c.quit()
		} else {
			w.o.o.Metrics.connection("failed")
			met = w.individual(t, problem) || met
		}
		tries = append(tries, vainAt(t, problem, false))
		if problem.loops {
			break
		}
	}
	last := w.verdict(p, tries)
	w.tell(tries, last)
	if last == nil {
		f := finding(mail.Temporary(mail.NoRoute, "No mail exchanger of "+w.site+" has an address"))
		last = &f
	}
	last.missed = !met && !last.aside && last.result == queue.TryLater && w.ctx.Err() == nil
	return nil, last
}

// vain is an address at which nothing came of a connection, and why.
type vain struct {
	queue.Try
	why        *problem
	preference uint16
	barred     bool // by a rule: nobody was asked
}

func vainAt(t target, p *problem, barred bool) vain {
	return vain{tryOf(queue.Outcome{Ended: mail.Micros(time.Now()), Host: t.host, Addr: t.addr, Ours: p.ours, Code: p.code, Enhanced: p.enhanced, Reply: p.text}), p, t.preference, barred}
}

// verdict is the problem that the message is told of, nil if there is none.
func (w *worker) verdict(p plan, tries []vain) (told *problem) {
	if n := len(tries); n > 0 && tries[n-1].why.loops {
		p, tries = w.cut(p, tries)
	}
	if p.fault != nil {
		f := finding(p.fault)
		f.aside = p.aside
		told = &f
	}
	for _, v := range tries {
		if v.barred || outweighs(v.why, told) {
			told = v.why
		}
	}
	return told
}

const (
	maxTryKept   = 200 // octets of a reply
	maxTriesKept = 10
)

// tryOf is what the message's history tells of an outcome that was not the last one.
func tryOf(o queue.Outcome) queue.Try {
	try := queue.Try{At: o.Ended, Host: o.Host, Addr: o.Addr, Reply: o.Reply}
	if !o.Ours {
		try.Code, try.Reply = o.Code, o.Enhanced+" "+o.Reply
	}
	try.Reply = bounded(strings.Join(strings.Fields(try.Reply), " "), maxTryKept)
	return try
}

// tell keeps those for the message's history, but for the one that its outcome tells of.
func (w *worker) tell(tries []vain, but *problem) {
	for _, try := range tries {
		if try.why != but {
			w.note(try.Try)
		}
	}
}

// note keeps one of them, unless it was kept for another recipient.
func (w *worker) note(try queue.Try) {
	same := func(b queue.Try) bool { return b.Addr == try.Addr && b.Code == try.Code && b.Reply == try.Reply }
	if len(w.before) < maxTriesKept && !slices.ContainsFunc(w.before, same) {
		w.before = append(w.before, try)
	}
}

// outweighs tells which of two problems the message is told of: what may pass before what
// will not, and what a host is to blame for before what we are, which may take longer.
func outweighs(p, last *problem) bool {
	switch {
	case last == nil:
		return true
	case p.aside != last.aside:
		return last.aside
	}
	return last.result == queue.Refused || p.result != queue.Refused
}

func kindOf(c *client) string {
	if _, ok := c.conn.(*tls.Conn); ok {
		return "tls"
	}
	return "cleartext"
}

// greet opens a connection to one address and brings it to where MAIL can be
// sent. If the TLS handshake fails where TLS is a bonus, it starts again in the
// clear.
func (w *worker) greet(t target, r rule) (*client, *problem) {
	failed := ""
	for {
		c, err := w.dial(t)
		if err != nil {
			return nil, w.unopened(t, err)
		}
		c.rule, c.holds = r, r
		if failed != "" {
			c.failed(otherFailure, failed)
		}
		stop := c.watch(w.ctx, 0)
		problem, again := w.introduce(c, failed)
		stop()
		switch {
		case problem == nil && again == nil:
			w.account(c)
			return c, nil
		case again != nil:
			c.close()
			failed = again.Error()
		default:
			c.quit()
			if c.failure != "" {
				w.report(t, r, c)
			}
			problem.tls = c.trace()
			return nil, problem
		}
	}
}

func (w *worker) dial(t target) (*client, error) {
	ctx, cancel := context.WithTimeout(w.ctx, w.set.ConnectTimeout)
	defer cancel()
	conn, from, err := w.open(ctx, t)
	if t.socket == "" {
		w.o.families.note(way{w.set.proxy(), t.host, t.addr.Addr().Is6()}, err)
	}
	if err != nil {
		return nil, err
	}
	c := newClient(conn, t, w.set.Timeouts)
	if w.set.proxy() != "" {
		c.source = netip.Addr{} // the proxy's, which we do not know
	}
	c.from(w.group, from)
	c.site, c.provider, c.way, c.shared = w.site, w.provider, w.set.way, w.shared(t.host)
	c.lmtp = w.set.via != nil && w.set.via.lmtp
	w.o.pool.opened(c)
	return c, nil
}

// introduce goes from the connection to the reply to EHLO, over TLS and AUTH.
// failed says how an earlier handshake failed: then it is not tried again. An
// error instead of a problem asks for that.
func (w *worker) introduce(c *client, failed string) (p *problem, again error) {
	mode := w.mode()
	t := c.target()
	if mode == "implicit" {
		if err := c.secure(w.ctx, w.tls(c.host, true)); err != nil {
			return trouble(t, "TLS with", err), nil
		}
	}
	greeting, err := c.read(w.set.Timeouts.Greeting)
	if err != nil {
		return trouble(t, "greeting of", err), nil
	}
	if greeting.Class() != 2 {
		return refusal(c, greeting), nil
	}
	if p := w.hello(c); p != nil {
		return p, nil
	}
	switch {
	case c.rule.never != "":
		c.tls = c.rule.never
	case c.rule.enforced().must:
		return w.demandTLS(c), nil
	case mode == "starttls":
		if p := w.mustSecure(c); p != nil {
			return p, nil
		}
	case mode == "opportunistic" && failed != "":
		c.tls, c.fellBack = "none: the handshake failed: "+failed, failed
	case mode == "opportunistic" && c.ext.startTLS:
		if p, again := w.tryTLS(c); again != nil || p != nil {
			return p, again
		}
	}
	if w.set.via != nil && w.set.via.user != "" {
		return w.login(c), nil
	}
	return nil, nil
}

// mode is how TLS is used.
func (w *worker) mode() string {
	if w.set.via == nil {
		return "opportunistic"
	}
	return w.set.via.tls
}

func (w *worker) tls(host string, verify bool) *tls.Config {
	config := w.o.o.TLS().Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	if !verify {
		// RFC 7435: without a policy any encryption is better than none, and
		// names in certificates of mail servers prove nothing.
		config.InsecureSkipVerify = true
		config.MinVersion = tls.VersionTLS10
	}
	return config
}

func (w *worker) hello(c *client) *problem {
	p, err := w.present(c)
	if err != nil {
		return trouble(c.target(), "EHLO to", err)
	}
	return p
}

// present says EHLO and takes what the host thinks of it.
func (w *worker) present(c *client) (*problem, error) {
	reply, err := c.hello(cmp.Or(c.ehlo, w.o.o.Hostname()))
	c.ext.chunking = c.ext.chunking && !w.set.ByData
	switch {
	case err != nil:
		return nil, err
	case reply.Class() != 2:
		return refusal(c, reply), nil
	}
	return w.mirrored(c, reply), nil
}

// secure does the TLS handshake and says EHLO over it. The error is of the handshake: in TLS
// 1.3 ours ends before the host has judged it, and what it thinks of it stands where its
// first reply would be (RFC 8446 §4.4.2.4).
func (w *worker) secure(c *client, config *tls.Config) (p *problem, err error) {
	if err = c.secure(w.ctx, config); err != nil {
		return nil, err
	}
	p, err = w.present(c)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) { // it has closed, and may have said why
		if _, said := c.read(quitTimeout); isAlert(said) {
			err = said
		}
	}
	if err != nil && !isAlert(err) {
		return trouble(c.target(), "EHLO to", err), nil
	}
	return p, err
}

// isAlert tells whether the host has ended TLS by an alert.
func isAlert(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// tryTLS uses STARTTLS if it works. A refusal of it leaves the connection as it
// is, unless that ends with it (421); a failed handshake costs the connection.
func (w *worker) tryTLS(c *client) (p *problem, again error) {
	reply, err := c.ask(w.set.Timeouts.Greeting, "STARTTLS")
	if err != nil {
		return nil, fmt.Errorf("STARTTLS: %s", reason(err))
	}
	if reply.Code == 421 {
		return refusal(c, reply), nil
	}
	if reply.Code != 220 {
		c.failed(noSTARTTLS, fmt.Sprint(reply.Code))
		c.fellBack = fmt.Sprintf("STARTTLS was refused: %d %s", reply.Code, bounded(reply.Text(), 200))
		c.tls = "none: " + c.fellBack
		return nil, nil
	}
	config := w.tls(c.host, false)
	config.CipherSuites = anySuites()
	p, err = w.secure(c, config)
	switch {
	case err == nil:
		return p, nil
	case w.ctx.Err() != nil:
		return trouble(c.target(), "TLS with", err), nil
	}
	return nil, errors.New(reason(err))
}

func (w *worker) mustSecure(c *client) *problem {
	t := c.target()
	if !c.ext.startTLS {
		return trouble(t, "TLS with", errNoTLS)
	}
	reply, err := c.ask(w.set.Timeouts.Greeting, "STARTTLS")
	if err != nil {
		return trouble(t, "STARTTLS to", err)
	}
	if reply.Code != 220 {
		return refusal(c, reply)
	}
	p, err := w.secure(c, w.tls(c.host, true))
	if err != nil {
		return trouble(t, "TLS with", err)
	}
	return p
}

// trouble is a failure of the connection: temporary, in our words.
func trouble(t target, doing string, err error) *problem {
	status := mail.NoAnswer
	if !strings.HasPrefix(doing, "connect ") {
		status = mail.BadConnection
	}
	who := t.host // a socket says it all
	if t.addr.IsValid() {
		who = fmt.Sprintf("%s[%s]:%d", t.host, t.addr.Addr(), t.addr.Port())
	}
	p := finding(mail.Temporary(status, fmt.Sprintf("%s %s: %s", doing, who, reason(err))))
	p.host, p.addr, p.source = t.host, t.addr, t.source
	return &p
}

// refusal is what a remote said before MAIL. Whatever it is, it is about the
// host and not about the message: RFC 5321 §4.2.4.2 lets us look elsewhere, and
// later.
func refusal(c *client, r smtp.Reply) *problem {
	return &problem{result: queue.TryLater, strained: r.Class() == 4, code: r.Code, enhanced: r.Enhanced, text: bounded(r.Text(), maxReplyKept),
		host: c.host, addr: c.addr, source: c.source, tls: c.trace()}
}

// maxReplyKept bounds what is kept of a remote's words.
const maxReplyKept = 2000

func bounded(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// reason says in a few words what is wrong with a connection.
func reason(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "timed out"
	case errors.Is(err, context.Canceled):
		return "the server stops"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed by the remote"
	case errors.As(err, &dns):
		return "address not found"
	}
	return bounded(err.Error(), 300)
}
