package outbound

import (
	"encoding/base64"
	"slices"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// login proves who we are to a smart host, or a host of a route. Every failure is
// temporary: a wrong password delays mail until somebody mends it, and never bounces it.
func (w *worker) login(c *client) *problem {
	smart := w.set.via
	if kindOf(c) != "tls" {
		return about(c, finding(mail.Temporary(mail.EncryptionNeeded, "The login needs TLS, which the host does not offer")))
	}
	var reply smtp.Reply
	var err error
	switch {
	case slices.Contains(c.ext.auth, "PLAIN"):
		reply, err = c.ask(w.set.Timeouts.Greeting, "AUTH PLAIN "+encode("\x00"+smart.user+"\x00"+smart.password))
	case slices.Contains(c.ext.auth, "LOGIN"):
		reply, err = w.loginMechanism(c, smart)
	default:
		return about(c, finding(mail.Temporary(mail.AuthMechanism, "The host offers neither AUTH PLAIN nor AUTH LOGIN")))
	}
	if err != nil {
		return trouble(c.target(), "AUTH to", err)
	}
	if reply.Code != 235 {
		w.o.o.Logger.Error("the host refuses our login", "host", c.host, "code", reply.Code, "reply", reply.Text())
		p := refusal(c, reply)
		p.result = queue.TryLater
		return p
	}
	return nil
}

// loginMechanism is the mechanism without a standard: two questions.
func (w *worker) loginMechanism(c *client, smart *via) (smtp.Reply, error) {
	reply, err := c.ask(w.set.Timeouts.Greeting, "AUTH LOGIN")
	for _, answer := range []string{smart.user, smart.password} {
		if err != nil || reply.Code != 334 {
			return reply, err
		}
		reply, err = c.ask(w.set.Timeouts.Greeting, encode(answer))
	}
	return reply, err
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// about adds whom a finding is about.
func about(c *client, p problem) *problem {
	p.host, p.addr, p.source, p.tls = c.host, c.addr, c.source, c.tls
	return &p
}
