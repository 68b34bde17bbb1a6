package outbound

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// clearHold is how long a connection on which TLS failed serves in the clear: most such
// failures pass, and the next connection may have TLS again.
const clearHold = time.Minute

// lingers tells whether a connection has been in the clear for long enough.
func (c *client) lingers(now time.Time) bool {
	return c.fellBack != "" && now.Sub(c.made) >= clearHold
}

// insists is what is found where a host refuses for want of TLS what it would take over
// it, nil if a reply says something else. That TLS failed is no fault of the message.
func (c *client) insists(r smtp.Reply) *problem {
	if c.fellBack == "" || !wantsTLS(r) {
		return nil
	}
	c.leaves = true
	said := bounded(strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text())), 200)
	p := about(c, finding(mail.Temporary(mail.EncryptionRequired,
		fmt.Sprintf("%s takes mail over TLS alone (%s), and TLS with it failed: %s; the next connection tries TLS again", c.host, said, c.fellBack))))
	p.elsewhere = true
	return p
}

// wantsTLS tells whether a host refuses something because it was said in the clear (RFC
// 3207 §4, RFC 5248 §2.4). What is about a mailbox may have such words in its address.
func wantsTLS(r smtp.Reply) bool {
	if r.Class() != 5 {
		return false
	}
	if r.Code == 530 || r.Enhanced == "5.7.10" {
		return true
	}
	if strings.HasPrefix(r.Enhanced, "5.1.") || strings.HasPrefix(r.Enhanced, "5.2.") {
		return false
	}
	words := strings.FieldsFunc(strings.ToLower(r.Text()), func(c rune) bool { return !unicode.IsLetter(c) })
	return slices.ContainsFunc(words, func(w string) bool {
		return w == "ssl" || strings.HasPrefix(w, "tls") || w == "starttls" || strings.HasPrefix(w, "encrypt") || strings.HasPrefix(w, "unencrypt")
	})
}
