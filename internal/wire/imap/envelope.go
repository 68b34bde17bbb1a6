package imap

import "github.com/hayauma/hayauma/internal/wire/mime"

// AppendEnvelope appends the value of ENVELOPE. A nil env is one without
// fields.
//
// RFC 3501 §7.4.2
func AppendEnvelope(dst []byte, env *mime.Envelope) []byte {
	if env == nil {
		env = &mime.Envelope{}
	}
	dst = append(dst, '(')
	dst = AppendNString(dst, env.Date)
	dst = append(dst, ' ')
	dst = AppendNString(dst, env.Subject)
	for _, list := range [6][]mime.Address{
		env.From, env.Sender, env.ReplyTo, env.To, env.Cc, env.Bcc,
	} {
		dst = append(dst, ' ')
		dst = appendAddresses(dst, list)
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, env.InReplyTo)
	dst = append(dst, ' ')
	dst = AppendNString(dst, env.MessageID)
	return append(dst, ')')
}

func appendAddresses(dst []byte, list []mime.Address) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for _, a := range list {
		dst = appendAddress(dst, a)
	}
	return append(dst, ')')
}

// appendAddress keeps NIL where it marks a group: an address without a domain
// has an empty host, and one without a local part an empty mailbox.
//
// RFC 3501 §7.4.2
func appendAddress(dst []byte, a mime.Address) []byte {
	switch a.Kind {
	case mime.GroupStart:
		dst = append(dst, "(NIL NIL "...)
		dst = AppendString(dst, a.Mailbox)
		return append(dst, " NIL)"...)
	case mime.GroupEnd:
		return append(dst, "(NIL NIL NIL NIL)"...)
	}
	dst = append(dst, '(')
	dst = AppendNString(dst, a.Name)
	dst = append(dst, ' ')
	dst = AppendNString(dst, a.ADL)
	dst = append(dst, ' ')
	dst = AppendString(dst, a.Mailbox)
	dst = append(dst, ' ')
	dst = AppendString(dst, a.Host)
	return append(dst, ')')
}
