package outbound

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/sasl"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// loginError says that it is not the connection that failed.
type loginError struct{ error }

// loginSteps bounds the challenges of a host: LOGIN and SCRAM have two.
const loginSteps = 4

// login proves who we are to a smart host, or a host of a route. Every failure is
// temporary: a wrong password delays mail until somebody mends it, and never bounces it.
func (w *worker) login(c *client) *problem {
	smart := w.set.via
	secured, isTLS := c.conn.(*tls.Conn)
	if !isTLS {
		return about(c, finding(mail.Temporary(mail.EncryptionNeeded, "The login needs TLS, which the host does not offer")))
	}
	credentials := sasl.ClientCredentials{User: smart.user, Password: smart.password, Offered: c.ext.auth, Binding: bindingOf(secured)}
	mechanism, ok := mechanismFor(credentials)
	if !ok {
		return about(c, finding(mail.Temporary(mail.AuthMechanism, "The host offers no AUTH mechanism that we know: PLAIN, LOGIN, SCRAM-SHA-256")))
	}
	reply, err := w.authenticate(c, mechanism, credentials)
	failed, isLogin := errors.AsType[loginError](err)
	switch {
	case isLogin:
		w.o.o.Logger.Error("no login", "host", c.host, "mechanism", mechanism, "error", err)
		return about(c, finding(mail.Temporary(mail.AuthTemporary, "The login by "+mechanism+" did not work: "+failed.Error())))
	case err != nil:
		return trouble(c.target(), "AUTH to", err)
	case reply.Code != 235:
		w.o.o.Logger.Error("the host refuses our login", "host", c.host, "code", reply.Code, "reply", reply.Text())
		p := refusal(c, reply)
		p.result, p.login = queue.TryLater, true
		return p
	}
	return nil
}

// mechanismFor is how we log in. The password itself comes first, which TLS protects
// and every host can check: many offer SCRAM of which they have nothing stored for
// some users, and count what fails.
func mechanismFor(c sasl.ClientCredentials) (string, bool) {
	for _, name := range []string{"PLAIN", "LOGIN"} {
		if c.Offers(name) {
			return name, true
		}
	}
	return c.Choose()
}

// authenticate runs a mechanism (RFC 4954 §4) and returns the last reply.
func (w *worker) authenticate(c *client, mechanism string, credentials sasl.ClientCredentials) (reply smtp.Reply, err error) {
	run, ok := sasl.NewClient(mechanism, credentials)
	if !ok {
		return reply, loginError{sasl.ErrUnusable}
	}
	answer, done, err := run.Next(nil)
	if err != nil {
		return reply, loginError{err}
	}
	line := "AUTH " + mechanism
	if answer != nil {
		line += " " + cmp.Or(sasl.Encode(answer), "=")
	}
	reply, err = c.ask(w.set.Timeouts.Greeting, line)
	for step := 0; err == nil && reply.Code == 334; step++ {
		if answer, done, err = answerTo(reply, run, mechanism, step); err != nil {
			// The reply to this says no more than that it has ended.
			_, _ = c.ask(w.set.Timeouts.Greeting, "*")
			return reply, loginError{err}
		}
		reply, err = c.ask(w.set.Timeouts.Greeting, sasl.Encode(answer))
	}
	if err == nil && reply.Code == 235 && !done {
		err = loginError{sasl.ErrServer} // anybody can say 235
	}
	return reply, err
}

// answerTo answers a challenge. Those of LOGIN are questions for people.
func answerTo(reply smtp.Reply, run sasl.Client, mechanism string, step int) (answer []byte, done bool, err error) {
	if step == loginSteps {
		return nil, false, sasl.ErrChallenge
	}
	var challenge []byte
	if mechanism != "LOGIN" {
		if challenge, err = sasl.Decode(reply.Text()); err != nil {
			return nil, false, sasl.ErrChallenge
		}
	}
	return run.Next(challenge)
}

// bindingOf is what ties a login to its connection.
func bindingOf(c *tls.Conn) sasl.Binding {
	state := c.ConnectionState()
	var server *x509.Certificate
	if len(state.PeerCertificates) > 0 {
		server = state.PeerCertificates[0]
	}
	return sasl.Bind(&state, server)
}

// about adds whom a finding is about.
func about(c *client, p problem) *problem {
	p.host, p.addr, p.source, p.tls = c.host, c.addr, c.source, c.trace()
	return &p
}
