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
