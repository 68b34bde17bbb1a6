package feedback

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/wire/arf"
	"github.com/hayauma/hayauma/internal/wire/dsn"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// news is what a message from another host says of one of ours.
type news struct {
	form     bool // it has a form that is understood
	exact    bool // it is to call the recipients what we called them, to be believed
	items    []item
	more     int    // beyond items
	reply    string // of a message without a form
	original mime.Header
	envelope string // the ENVID that it repeats

	complaint bool
	from      mail.Address   // a complaint's own word on the reverse-path under which the message came
	paths     []mail.Address // that, and what else it holds on it
}

// item is what it says of one recipient.
type item struct {
	kind   event.Kind
	names  []string // the addresses by which it calls the recipient
	detail event.Detail
}

// final is whom the host that has the last word named; empty = nobody.
func (i item) final() string {
	if len(i.names) == 0 {
		return ""
	}
	return keyOf(i.names[len(i.names)-1])
}

// read takes a message apart.
func read(content *io.SectionReader) (news, error) {
	complaint, err := arf.Read(content, content.Size())
	if err != nil {
		return news{}, err
	}
	if complaint != nil {
		return complained(complaint), nil
	}
	notice, err := dsn.Read(content, content.Size())
	if err != nil {
		return news{}, err
	}
	return returned(notice), nil
}

// complained is what a complaint says.
func complained(r *arf.Report) news {
	i := item{kind: event.Reported, detail: event.Detail{Host: cmp.Or(r.Hostname, r.UserAgent), Reason: r.Type}}
	if r.Complains() {
		i.kind = event.Complained
	}
	n := news{form: true, complaint: true, original: r.Original, envelope: r.EnvelopeID, paths: pathsOf(r)}
	n.from, _ = mail.ParseAddress(r.MailFrom) // null fits nobody
	for _, to := range r.RcptTo {
		one := i
		one.names = []string{to}
		n.items = append(n.items, one)
	}
	if len(n.items) == 0 {
		n.items = []item{i}
	}
	n.cut()
	return n
}

// maxPaths bounds the reverse-paths that are tried of one complaint.
const maxPaths = 5

// pathsOf are the reverse-paths that a complaint names: its own word (RFC 5965 §3.2), and
// what the hosts wrote that delivered the message.
func pathsOf(r *arf.Report) []mail.Address {
	texts := []string{r.MailFrom}
	for f := range r.Original.All() {
		if f.Is("Return-Path") && len(texts) < maxPaths {
			_, path := dsn.Typed(dsn.Value(f))
			texts = append(texts, path)
		}
	}
	var out []mail.Address
	for _, text := range texts {
		if a, err := mail.ParseAddress(text); err == nil && len(text) <= maxName {
			out = append(out, a)
		}
	}
	return out
}

// returned is what a delivery report says. One in words alone may be somebody's quotation.
func returned(r *dsn.Notice) news {
	n := news{form: r.Form != dsn.Unknown, more: r.More, reply: r.Reply, original: r.Original, envelope: r.EnvelopeID}
	n.exact = n.form && r.Form != dsn.Fields
	for _, rcpt := range r.Recipients {
		i := item{kind: event.Reported, names: namesOf(rcpt), detail: event.Detail{
			Host: cmp.Or(rcpt.RemoteMTA, r.Hostname), Reply: rcpt.Diagnostic, Reason: string(rcpt.Action),
		}}
		i.detail.Code, i.detail.Enhanced = rcpt.Said()
		if rcpt.Action == dsn.Failed {
			i.kind = event.Returned
		}
		n.items = append(n.items, i)
	}
	n.cut()
	return n
}

// namesOf are the addresses of a recipient: what we called it stands first.
func namesOf(r dsn.Recipient) []string {
	var out []string
	_, original, _ := strings.Cut(r.Original, ";")
	for _, name := range []string{original, r.Final} {
		if name != "" && len(name) <= maxName {
			out = append(out, name)
		}
	}
	return out
}

// maxName is the longest address that makes sense, with room for its quoting.
const maxName = 320

func (n *news) cut() {
	if beyond := len(n.items) - maxItems; beyond > 0 {
		n.items, n.more = n.items[:maxItems], n.more+beyond
	}
}

// keep leaves some items; without any it is mail like any other.
func (n *news) keep(which func(item) bool) {
	if len(n.items) > 0 {
		n.reply = cmp.Or(n.reply, n.items[0].detail.Reply)
	}
	n.items = slices.DeleteFunc(n.items, func(i item) bool { return !which(i) })
	n.form = len(n.items) > 0
}
