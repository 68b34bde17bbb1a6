package intake

import (
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// trace returns our Received field (RFC 5321 §4.4).
func (t *Transaction) trace() []byte {
	o := &t.origin
	b := append(make([]byte, 0, 320), "Received: "...)
	if !t.settings.HideClient || o.Account == 0 {
		b = append(append(b, "from "...), helo(o.Helo)...)
		if o.Peer.IsValid() {
			b = append(appendLiteral(append(b, " ("...), o), ')')
		}
		b = append(b, "\r\n\t"...)
	}
	b = append(append(b, "by "...), t.settings.Hostname...)
	if o.Protocol != "" {
		b = append(append(b, " with "...), o.Protocol...)
	}
	b = append(append(b, " id "...), t.id.String()...)
	if o.TLS != "" {
		b = append(append(append(b, "\r\n\t("...), o.TLS...), ')')
	}
	// RFC 5321 §7.2: one recipient may be named, several would tell each of
	// the others. Nor may our own field make a header need SMTPUTF8 that an alias
	// leads to a host without it.
	if len(t.recipients) == 1 && t.recipients[0].Address.IsASCII() {
		b = append(t.recipients[0].Address.AppendASCII(append(b, "\r\n\tfor <"...)), '>')
	}
	if p := t.env.Priority; p != 0 {
		b = strconv.AppendInt(append(b, "\r\n\tpriority "...), int64(p), 10) // RFC 6710 §7
	}
	return append(t.started.AppendFormat(append(b, ";\r\n\t"...), time.RFC1123Z), "\r\n"...)
}

// helo keeps what a peer said of itself from forging the rest of the field.
func helo(s string) string {
	clean := func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("()<>;\\\"", r) {
			return -1
		}
		return r
	}
	if s = strings.Map(clean, s); s == "" {
		return "unknown"
	}
	return s
}

func appendLiteral(b []byte, o *mail.Origin) []byte {
	a := o.Peer.Addr().Unmap()
	if a.Is6() {
		b = a.WithZone("").AppendTo(append(b, "[IPv6:"...))
	} else {
		b = a.AppendTo(append(b, '['))
	}
	return append(b, ']')
}

// prefix is what stands before the shared body in an account's copy
// (RFC 5321 §4.4: the reverse-path at final delivery).
func (t *Transaction) prefix(to mail.Address) []byte {
	return []byte("Return-Path: <" + t.env.From.Header() + ">\r\nDelivered-To: " + to.Header() + "\r\n")
}

// deliveredTo reads the address back from a prefix that we wrote.
func deliveredTo(prefix []byte) string {
	_, rest, _ := strings.Cut(string(prefix), "Delivered-To: ")
	return strings.TrimSuffix(rest, "\r\n")
}
