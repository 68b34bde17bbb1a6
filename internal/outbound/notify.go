package outbound

import (
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// reportParams are what MAIL hands on of the wish for reports (RFC 3461 §5.2.1).
func reportParams(env mail.Envelope) string {
	params := ""
	if env.Ret != "" {
		params += " RET=" + env.Ret
	}
	if env.EnvID != "" {
		params += " ENVID=" + smtp.EncodeXtext(env.EnvID)
	}
	return params
}

// named is the envelope with an ENVID. Who submitted the message can have given one;
// if not, it is for the submission server to name it, and for no relay (RFC 3461
// §5.2.1). Without a name it goes as well.
func (t *transaction) named() mail.Envelope {
	env := t.m.Envelope
	if env.EnvID != "" || env.From.IsNull() || t.m.Account == 0 || t.w.o.o.EnvID == nil {
		return env
	}
	if id, err := t.w.o.o.EnvID(t.w.ctx, t.m); err == nil {
		env.EnvID = id
	}
	return env
}

// notifyParams are what RCPT hands on of it. Where the remote does not watch the
// time that the sender gave, it is at least to tell of a delay (RFC 2852 §4.1.4.2).
func notifyParams(r mail.Recipient, unwatched bool) string {
	params, n := "", r.Notify
	if unwatched && n&mail.NotifyNever == 0 {
		if n == 0 {
			n = mail.NotifyFailure
		}
		n |= mail.NotifyDelay
	}
	if n != 0 {
		params += " NOTIFY=" + smtp.FormatNotify(n)
	}
	if r.ORCPT != "" {
		params += " ORCPT=" + smtp.FormatORCPT(r.ORCPT)
	}
	return params
}
