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

// notifyParams are what RCPT hands on of it.
func notifyParams(r mail.Recipient) string {
	params := ""
	if r.Notify != 0 {
		params += " NOTIFY=" + smtp.FormatNotify(r.Notify)
	}
	if r.ORCPT != "" {
		params += " ORCPT=" + smtp.FormatORCPT(r.ORCPT)
	}
	return params
}
