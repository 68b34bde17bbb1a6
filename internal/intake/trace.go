package intake

import (
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// trace returns our Received field (RFC 5321 §4.4).
func (t *Transaction) trace() []byte {
	var b strings.Builder
	o := &t.origin
	b.WriteString("Received: ")
	if !t.settings.HideClient || o.Account == 0 {
		b.WriteString("from " + helo(o.Helo))
		if o.Peer.IsValid() {
			b.WriteString(" (" + literal(o) + ")")
		}
		b.WriteString("\r\n\t")
	}
	b.WriteString("by " + t.settings.Hostname)
	if o.Protocol != "" {
		b.WriteString(" with " + o.Protocol)
	}
	b.WriteString(" id " + t.id.String())
	if o.TLS != "" {
		b.WriteString("\r\n\t(" + o.TLS + ")")
	}
	// RFC 5321 §7.2: one recipient may be named, several would tell each of
	// the others.
	if len(t.recipients) == 1 {
		b.WriteString("\r\n\tfor <" + t.recipients[0].Address.ASCII() + ">")
	}
	if p := t.env.Priority; p != 0 {
		b.WriteString("\r\n\tpriority " + strconv.Itoa(int(p))) // RFC 6710 §7
	}
	b.WriteString(";\r\n\t" + t.started.Format(time.RFC1123Z) + "\r\n")
	return []byte(b.String())
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

func literal(o *mail.Origin) string {
	a := o.Peer.Addr().Unmap()
	if a.Is6() {
		return "[IPv6:" + a.WithZone("").String() + "]"
	}
	return "[" + a.String() + "]"
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
