package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// maxAuthors bounds the mailboxes of one From field: each may cost a look into
// the directory.
const maxAuthors = 20

// Header decides on the header of a message that an account sends: people read
// From, not the envelope, so whoever is named there or in Sender must be one that
// the account may send as (RFC 6409 §6.1). Each field may stand there once
// (RFC 5322 §3.6), since of two every reader takes another one. What we cannot
// read for sure is refused: others might read it. A header without From says nothing,
// and passes. Who sends a message once more says so in fields of his own above those
// of others (RFC 5322 §3.6.6): the first Resent-From, and a Resent-Sender beside it, are
// judged alike; those below tell of what others did before. They do not stand for From,
// which people go on to read.
func (p *Policy) Header(ctx context.Context, o mail.Origin, h mime.Header) *mail.Fault {
	if o.Account == 0 || p.o.CheckFrom == nil || !p.o.CheckFrom() {
		return nil
	}
	acc := account.Account{ID: o.Account, Address: o.Login} // MAIL has found it there
	seen := map[string]bool{}
	older := false // what is resent below was so before
	for f := range h.All() {
		name, fault := author(f)
		if fault != nil {
			return fault
		}
		again := strings.HasPrefix(name, resent)
		older = older || seen[resent+"From"] && !isResent(f) || again && seen[name]
		switch {
		case name == "", again && older && (seen[resent+"From"] || name != resent+"From"):
			continue
		case seen[name]:
			return mail.Final(mail.ContentOther, "The message has two "+name+" fields: leave one of them")
		}
		seen[name] = true
		if fault := p.authors(ctx, acc, name, f); fault != nil {
			return fault
		}
	}
	return nil
}

// resent begins the names of fields of one who sends a message once more.
const resent = "Resent-"

func isResent(f mime.Field) bool {
	return len(f.Name) >= len(resent) && strings.EqualFold(string(f.Name[:len(resent)]), resent)
}

// author is the name of a field that says who sends, "" if it is no such field. A field that some reader
// could take for one, but for octets that no name may have, is refused.
func author(f mime.Field) (string, *mail.Fault) {
	for _, name := range []string{"From", "Sender", resent + "From", resent + "Sender"} {
		if f.Is(name) {
			return name, nil
		}
		if f.Seems(name) {
			return "", mail.Final(mail.ContentOther, "The name of a "+name+" field in the header holds octets that no name may have")
		}
	}
	return "", nil
}

func (p *Policy) authors(ctx context.Context, acc account.Account, name string, f mime.Field) *mail.Fault {
	most := maxAuthors
	if strings.HasSuffix(name, "Sender") {
		most = 1 // RFC 5322 §3.6.2
	}
	list, err := mime.ParseMailboxes(f.Value(), most)
	if errors.Is(err, mime.ErrManyMailboxes) {
		return mail.Final(mail.ContentOther, fmt.Sprintf("The %s field may name at most %d of those who send: leave the others out", name, most))
	}
	if err != nil {
		return mail.Final(mail.ContentOther, "The "+name+" field cannot be read for sure: write it like \""+name+": Name <user@example.org>\"")
	}
	for _, a := range list {
		may, err := p.o.Directory.MaySendAs(ctx, acc, a)
		if err != nil {
			return mail.AsFault(err)
		}
		if !may {
			return mail.Final(mail.NotAuthorized, fmt.Sprintf("The %s field names %s, and your login may not send as this address", name, public(a)))
		}
	}
	return nil
}

// maxShown is how much of an address a reply shows, so that its line stays within
// RFC 5321 §4.5.3.1.5.
const maxShown = 300

// public is an address as a reply can show it, in ASCII.
func public(a mail.Address) string {
	s := strings.Map(func(r rune) rune {
		if r >= 0x7f {
			return '?'
		}
		return r
	}, a.ASCII())
	if len(s) > maxShown {
		return s[:maxShown] + "..."
	}
	return s
}
