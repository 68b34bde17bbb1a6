package outbound

import (
	"crypto/tls"
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// wishParams are what MAIL hands on of a sender's wishes.
func wishParams(env mail.Envelope, ext extensions, now time.Time) string {
	params := ""
	if env.By.At != 0 && ext.deliverBy {
		by := smtp.By{In: mail.FromMicros(env.By.At).Sub(now), Return: env.By.Return, Trace: env.By.Trace}
		params += " BY=" + by.String()
	}
	if ext.priority {
		params += fmt.Sprintf(" MT-PRIORITY=%d", env.Priority)
	}
	if env.RequireTLS && ext.requireTLS {
		params += " REQUIRETLS"
	}
	return params
}

// unwatched tells whether a remote leaves a time to the sender (RFC 2852
// §4.1.4.2).
func unwatched(by mail.DeliverBy, ext extensions) bool {
	return by.At != 0 && !by.Return && !ext.deliverBy
}

// inTime says why a remote cannot have a message that is worth nothing later. That
// is the answer for its other hosts too (RFC 2852 §4.1.4.1 and §7).
func inTime(by mail.DeliverBy, c *client, now time.Time) *mail.Fault {
	if by.At == 0 || !by.Return {
		return nil
	}
	left := mail.FromMicros(by.At).Sub(now)
	switch {
	case left < time.Second:
		return mail.Temporary(mail.DeliveryExpired, "The time within which it was to be delivered is over")
	case !c.ext.deliverBy:
		return mail.Final(mail.SystemFeature, "The message is worth nothing behind a time, which "+c.host+" does not watch (DELIVERBY)")
	case c.ext.minBy > left:
		return mail.Final(mail.DeliveryExpired, fmt.Sprintf("%s needs %v to deliver, only %v are left", c.host, c.ext.minBy, left.Round(time.Second)))
	}
	return nil
}

// safe says why a message must not go over a connection: the policy that holds now
// forbids it, or its sender wants TLS all the way (RFC 8689 §4.2.1). What the host lacks
// now but may have had is no verdict: TLS that failed, or a proof that could not be looked
// up. A report is as safe as what it tells of, but is not lost for want of a promise (§5).
func (w *worker) safe(c *client, env mail.Envelope) *mail.Fault {
	r := w.o.rule(w.ctx, w.set, w.site, c.target())
	if f := r.refuses(c); f != nil {
		return f
	}
	if !env.RequireTLS {
		return nil
	}
	t, ok := c.conn.(*tls.Conn)
	switch {
	case c.fellBack != "":
		return mail.Temporary(mail.EncryptionRequired, "The sender requires TLS, which failed with "+c.host+": "+c.fellBack)
	case !ok:
		return mail.Final(mail.EncryptionRequired, "The sender requires TLS, which cannot be had with "+c.host)
	case !c.known && !r.names():
		if why := w.o.unsettled(w.ctx, w.site, r); why != "" {
			return mail.Temporary(mail.EncryptionRequired, "The sender requires TLS, and it cannot be told for now whether mail for "+w.site+" goes to "+c.host+" (MTA-STS): "+why)
		}
		return mail.Final(mail.EncryptionRequired, "The sender requires TLS, and nothing proves that mail for "+w.site+" goes to "+c.host+" (DNSSEC, MTA-STS)")
	case !r.proves(c):
		if err := w.o.verify(t.ConnectionState(), c.host); err != nil {
			return mail.Final(mail.EncryptionRequired, "The sender requires TLS, and "+c.host+" does not prove who it is: "+reason(err))
		}
	}
	if !c.ext.requireTLS && !env.From.IsNull() {
		return mail.Final(mail.RequireTLSNeeded, "The sender requires TLS all the way, which "+c.host+" does not promise (REQUIRETLS)")
	}
	return nil
}
