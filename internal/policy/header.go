package policy

import (
	"context"
	"fmt"
	"io"
	stdmime "mime"
	netmail "net/mail"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Header decides on what the header of a submission says of its author and sender
// (RFC 6409 §6.1): that is what its readers see. Each mailbox must be one that the
// login may send as. A field that is not there says nothing.
func (p *Policy) Header(ctx context.Context, o mail.Origin, h mime.Header) *mail.Fault {
	if o.Account == 0 || p.o.CheckFrom == nil || !p.o.CheckFrom() {
		return nil
	}
	acc := account.Account{ID: o.Account, Address: o.Login}
	for _, name := range []string{"From", "Sender"} {
		if fault := p.authors(ctx, acc, name, h); fault != nil {
			return fault
		}
	}
	return nil
}

func (p *Policy) authors(ctx context.Context, acc account.Account, name string, h mime.Header) *mail.Fault {
	seen := 0
	for f := range h.All() {
		if !strings.EqualFold(string(f.Name), name) {
			continue
		}
		// Two readers could each believe another one (RFC 5322 §3.6).
		if seen++; seen > 1 {
			return mail.Final(mail.ContentOther, "The message has more than one "+name+" field")
		}
		list, err := mailboxes(f.Text())
		if err != nil {
			return mail.Final(mail.ContentOther, "The "+name+" field of the message cannot be read: write it like Name <user@example.org>")
		}
		for _, a := range list {
			may, err := p.o.Directory.MaySendAs(ctx, acc, a)
			if err != nil {
				return mail.AsFault(err)
			}
			if !may {
				return mail.Final(mail.NotAuthorized, fmt.Sprintf("You are logged in as %s, which may not send as %s, the %s of the message",
					acc.Address.ASCII(), a.ASCII(), name))
			}
		}
	}
	return nil
}

// mailboxes reads a list of mailboxes, of which there must be one at least.
func mailboxes(text string) ([]mail.Address, error) {
	// What names say in which charset does not matter here.
	p := netmail.AddressParser{WordDecoder: &stdmime.WordDecoder{
		CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
	}}
	list, err := p.ParseList(text)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, mail.ErrAddress // an empty group
	}
	out := make([]mail.Address, len(list))
	for i, a := range list {
		if out[i], err = mail.ParseAddress(written(a.Address)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// written quotes a local part that needs it: the parser has taken its quotes away.
func written(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	if _, err := mail.ParseAddress(address); err == nil {
		return address
	}
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(address[:at])
	return `"` + quoted + `"` + address[at:]
}
