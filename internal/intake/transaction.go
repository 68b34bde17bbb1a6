package intake

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// inTransaction is how many accounts are filed to before the sender has its
// reply; those beyond are queued.
const inTransaction = 100

// Transaction is one message on its way in: Add its recipients, Write its
// content, then Commit or Abort. It belongs to one goroutine.
type Transaction struct {
	in       *Intake
	id       mail.ID
	origin   mail.Origin
	env      mail.Envelope
	started  time.Time
	settings Settings

	recipients []mail.Recipient
	only       []mail.ID               // over LMTP, of each recipient: its one account; 0 = another fate
	refused    map[mail.ID]*mail.Fault // accounts that the door refuses after the content
	failed     []event.Event           // what the history tells of them
	accounts   []copyFor               // in the order they were added, none twice
	full       []copyFor               // members of a group without room, or that lead nowhere: the queue tries them
	known      map[mail.ID]bool        // accounts in either of them
	remote     []mail.Recipient        // what goes to the queue, none twice
	seen       map[string]bool         // keys of remote
	told       []copyFor               // accounts of whose copy the sender wants to know
	expanded   []mail.Recipient        // groups of whose expansion the sender wants to know
	reserved   map[mail.ID]int64       // octets of quota kept free
	also       []func(*db.Tx) error
	times      string            // when the sender wants it to go out and to arrive, as a repeat says it too
	room       *rate.Reservation // nil = it counts for nobody
	tags       []string
	quarantine bool
	returned   bool                                           // its one recipient is a return path
	heard      bool                                           // nobody is to get it: what it told is noted
	over       func()                                         // what waits for the end; nil = nothing
	judge      func(context.Context, mime.Header) *mail.Fault // of a submission's header; nil = any will do

	content content
	stored  blob.Body
	receipt Receipt // 0 = none
	done    bool
}

// copyFor is one account's copy and the address that led there first.
type copyFor struct {
	account   account.Account
	recipient mail.Recipient
}

// Result is what a commit led to.
type Result struct {
	ID    mail.ID     // the message as the trace knows it
	Fault *mail.Fault // nil = accepted
	// Each is the fate of each recipient in the order of Add, for LMTP; nil =
	// filed or queued.
	Each []*mail.Fault
	// Receipt goes to Intake.Confirm once the sender is seen to know of the
	// 250; 0 = there is nothing to confirm.
	Receipt Receipt
}

// Receipt names a transaction as its sender would repeat it.
type Receipt int64

// Begin starts a transaction.
func (in *Intake) Begin(o mail.Origin, env mail.Envelope) *Transaction {
	if o.Tenant == 0 {
		o.Tenant = account.MainTenant
	}
	return &Transaction{in: in, id: in.o.IDs.Next(), origin: o, env: env, started: time.Now(), settings: in.o.Settings()}
}

// ID is the message's id: it stands in our Received field, in the 250 and in
// every event.
func (t *Transaction) ID() mail.ID { return t.id }

// Also adds rows to the commit, for makers of mail that must be written once
// with their cause.
func (t *Transaction) Also(fn func(*db.Tx) error) { t.also = append(t.also, fn) }

// Judge has a submission's header looked at before any of it is kept.
func (t *Transaction) Judge(fn func(context.Context, mime.Header) *mail.Fault) { t.judge = fn }

// Times are when its sender wants it to go out and to arrive, in words that a repeat
// has too: the times of the envelope may count from now, and be others by then.
func (t *Transaction) Times(written string) { t.times = written }

// Counts has the message counted for its sender once it is accepted. Who releases the
// room does so after Commit.
func (t *Transaction) Counts(room *rate.Reservation) { t.room = room }

// Tag gives the message words, each once.
func (t *Transaction) Tag(words ...string) {
	for _, w := range words {
		if !slices.Contains(t.tags, w) {
			t.tags = append(t.tags, w)
		}
	}
}

// QuarantineTag begins the tag that names the rule which holds a message.
const QuarantineTag = "quarantine:"

// Tags are the words that it has by now.
func (t *Transaction) Tags() []string { return t.tags }

// heldBy are the rules that hold it.
func (t *Transaction) heldBy() (rules []string) {
	for _, w := range t.tags {
		if name, holds := strings.CutPrefix(w, QuarantineTag); holds {
			rules = append(rules, name)
		}
	}
	return rules
}

// Quarantine has the message held for the operator instead of delivered.
func (t *Transaction) Quarantine() { t.quarantine = true }

// Resolve says where an address leads.
func (t *Transaction) Resolve(ctx context.Context, a mail.Address) (account.Target, *mail.Fault) {
	return t.in.Resolve(ctx, a)
}

// Resolve says where an address leads.
func (in *Intake) Resolve(ctx context.Context, a mail.Address) (account.Target, *mail.Fault) {
	if target, ours, err := in.returnPath(ctx, a); ours || err != nil {
		return target, unresolved(err)
	}
	target, err := in.o.Directory.Resolve(ctx, a)
	return target, unresolved(err)
}

func unresolved(err error) *mail.Fault {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, account.ErrExpansion): // put off until it is mended, so that no mail is lost
		return mail.Temporary(mail.ListExpansion, "This address leads to too many others here: its postmaster has to shorten the list, please try again later").Because(err)
	}
	return mail.Temporary(mail.DirectoryFailure, "The directory of users is not available, please try again later").Because(err)
}

// Add takes a recipient that policy has let pass.
func (t *Transaction) Add(ctx context.Context, r mail.Recipient, target account.Target) *mail.Fault {
	if len(t.recipients) >= t.settings.Recipients {
		return mail.Temporary(mail.TooManyRecipients, "Too many recipients: send the rest in another transaction")
	}
	if t.returned || target.ReturnPath && len(t.recipients) > 0 {
		return mail.Temporary(mail.TooManyRecipients, "A return path is the only recipient of its reports: send the rest in other transactions")
	}
	if target.Kind == account.Elsewhere || target.Kind == account.Onward {
		t.addRemote(r)
		t.took(r, target)
		return nil
	}
	each := r
	if group := len(target.Accounts)+len(target.Forwards)+len(target.Nowhere) > 1; group {
		each.Notify = r.Notify.WithoutSuccess()
	}
	if fault := t.addAccounts(ctx, each, target); fault != nil {
		return fault
	}
	t.returned = target.ReturnPath
	for _, f := range target.Forwards {
		t.addRemote(t.member(each, f))
	}
	t.addNowhere(each, target.Nowhere)
	t.wantsToKnow(r, each, target)
	t.took(r, target)
	return nil
}

// member is who is reached through a recipient. The sender, who may not know of him, is
// told of the address that he gave (RFC 3461 §5.2.1 (d)); a return path is nobody's.
func (t *Transaction) member(of mail.Recipient, a mail.Address) mail.Recipient {
	m := mail.Recipient{Address: a, Notify: of.Notify, ORCPT: of.ORCPT}
	switch {
	case m.ORCPT != "" || t.returned || a.Key() == of.Address.Key():
	case of.Address.IsASCII():
		m.ORCPT = "rfc822;" + of.Address.Header()
	default:
		m.ORCPT = "utf-8;" + of.Address.Header() // RFC 6533 §3
	}
	return m
}

func (t *Transaction) addRemote(r mail.Recipient) {
	// The local part keeps its case elsewhere: only its domain may fold it.
	if len(t.remote) > 0 { // of one recipient, as most mail has, there is nothing to remember
		if t.seen == nil {
			t.seen = map[string]bool{t.remote[0].Address.ASCII(): true}
		}
		key := r.Address.ASCII()
		if t.seen[key] {
			return
		}
		t.seen[key] = true
	}
	t.remote = append(t.remote, r)
}

// addNowhere leaves members of a group to the queue that lead nowhere: it tells the
// sender.
func (t *Transaction) addNowhere(r mail.Recipient, members []mail.Address) {
	for _, a := range members {
		c := copyFor{account: account.Account{Address: a}, recipient: r}
		if !slices.ContainsFunc(t.full, func(f copyFor) bool { return f.account.Address == a }) {
			t.full = append(t.full, c)
		}
	}
}

// addAccounts adds those accounts that no earlier recipient led to. One without
// room is refused, unless others are served with it: then it is tried later.
func (t *Transaction) addAccounts(ctx context.Context, r mail.Recipient, target account.Target) *mail.Fault {
	if t.known == nil {
		t.known = map[mail.ID]bool{}
	}
	alone := len(target.Accounts) == 1 && len(target.Forwards) == 0
	var served, full []copyFor
	var fault *mail.Fault
	for _, a := range target.Accounts {
		c := copyFor{account: a, recipient: r}
		if t.known[a.ID] {
			alone = false
			continue
		}
		if f := t.reserve(ctx, a, max(t.env.Size, 1)); f != nil {
			full, fault = append(full, c), f
			continue
		}
		served = append(served, c)
	}
	if len(full) > 0 && len(served) == 0 && (alone || len(full) == len(target.Accounts) && len(target.Forwards) == 0) {
		return fault
	}
	for _, c := range append(served, full...) {
		t.known[c.account.ID] = true
	}
	t.accounts = append(t.accounts, served...)
	t.full = append(t.full, full...)
	return nil
}

// Abort drops everything. It is harmless after Commit.
func (t *Transaction) Abort() {
	if t.done {
		return
	}
	t.done = true
	t.content.abort()
	t.release()
	if t.over != nil {
		t.over()
	}
}

// Commit takes responsibility for the message or says why not. After it the
// transaction is over.
func (t *Transaction) Commit(ctx context.Context) Result {
	if t.done {
		return t.result(mail.AsFault(errors.New("transaction committed twice")))
	}
	defer t.Abort()
	if fault := t.finish(ctx); fault != nil {
		t.in.rejected(t, fault)
		return t.result(fault)
	}
	e := t.entry(ctx)
	t.in.waiting <- e
	// The outcome is waited for even if the session ends: a group is short,
	// and a reply that contradicts what was committed would be worse.
	<-e.done
	if e.fault != nil {
		return t.result(e.fault)
	}
	t.refuseGone(e)
	result := t.result(nil)
	result.ID, result.Receipt = e.id, e.receipt
	return result
}
