// Package callahead finds out who is there in a relay domain by asking its host, and
// remembers the answers.
package callahead

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// How long an answer holds. Whoever is there stays there for long, and is to get mail
// while the host is down; who is not may be tomorrow.
const (
	// fresh is how old a good answer gets before it is asked for anew, behind the
	// back of who uses it.
	fresh = 24 * time.Hour
	// trusted is how old it gets before its user waits for a new one.
	trusted = 7 * 24 * time.Hour
	// remembered is how old it gets before it counts for nothing. Until then it
	// holds where the host cannot be asked.
	remembered = 31 * 24 * time.Hour
	// refused is how long it holds that nobody is there, or that mail for him is refused.
	refused = time.Hour
	// probed is how long it holds whether a host takes every address.
	probed = 24 * time.Hour
	// lookAgain is how long it takes until that is looked for again where the host has
	// not told.
	lookAgain = 10 * time.Minute
	// resting is how long a host that could not be asked is left alone.
	resting = 30 * time.Second
)

// Bounds.
const (
	maxPerDomain = 4       // questions to the hosts of one domain at once
	maxInLine    = 50      // questions of one domain, with those that wait: others have room beside it
	maxOpen      = 200     // questions at once, with those that wait
	maxAnswers   = 200_000 // remembered; beyond them refusals are not
	compared     = 3       // whom a refusal is compared with: some of them may have left

	// maxWait is how long a question waits for one of maxPerDomain.
	maxWait = 30 * time.Second
	// maxTime is how long it takes in all, those it is compared with included: who asks for
	// a recipient waits for five minutes (RFC 5321 §4.5.3.2.3).
	maxTime = 4*time.Minute + maxWait
)

// Options are what a Book is made of.
type Options struct {
	DB      db.DB
	Ask     func(context.Context, mail.Address) Answer // asks the host of the domain; ends with its context
	Timeout func() time.Duration                       // for one question, once it is its turn; at most four minutes
	Logger  *slog.Logger
	Metrics *Metrics // nil = none
}

// Book holds the answers. It may be used by many goroutines.
type Book struct {
	o       Options
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	open   map[string]*question // by key
	lines  map[string]*line     // by domain
	rest   map[string]time.Time // by domain: it is not asked before
	looked map[string]time.Time // by domain: when it was last asked whether it takes everybody
	made   map[string]string    // by domain: the local part that it was asked for then, until it tells
	rows   int64                // answers in the table, about; -1 = not counted yet
}

// line is the questions of one domain.
type line struct {
	slots chan struct{} // one for each that is put to the host
	open  int           // with those that wait; Book.mu guards it
}

// question is one that is under way. Those who want to know the same wait for it.
type question struct {
	done   chan struct{} // closed once answer is there
	answer Answer
}

// New returns a Book over tables that Schema describes. Close ends its questions.
func New(o Options) *Book {
	b := &Book{o: o, open: map[string]*question{}, lines: map[string]*line{}, rest: map[string]time.Time{}, looked: map[string]time.Time{}, made: map[string]string{}, rows: -1}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Close ends the questions under way and waits for their end.
func (b *Book) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.running.Wait()
}

// everybody is the key under which it stands whether a host takes every address.
func everybody(d mail.Domain) string { return "*@" + d.ASCII }

// Check tells whether a recipient of a relay domain is there: nil if it is, or is known
// to have been and nobody can be asked. What cannot be told is temporary.
func (b *Book) Check(ctx context.Context, a mail.Address) *mail.Fault {
	by, f := b.check(ctx, a)
	b.o.Metrics.checked(by, f)
	return f
}

func (b *Book) check(ctx context.Context, a mail.Address) (source, *mail.Fault) {
	known, err := b.find(ctx, a.Key(), everybody(a.Domain))
	if err != nil {
		return byNone, mail.Temporary(mail.DirectoryFailure, "The directory of users is not available, please try again later").Because(err)
	}
	all, knows := known[everybody(a.Domain)]
	if !knows || all.age() > probed {
		b.probe(a.Domain)
	}
	if knows && all.verdict == Taken && all.age() <= 2*probed {
		return byAll, nil // its answers tell nothing
	}
	row, knows := known[a.Key()]
	switch {
	case knows && row.verdict == Taken && row.age() <= trusted:
		if row.age() > fresh {
			b.begin(a, false)
		}
		return byMemory, nil
	case knows && row.verdict == Refused && row.age() <= refused:
		return byMemory, nobody()
	case knows && row.verdict == Closed && row.age() <= refused:
		return byMemory, closed()
	}
	was := knows && row.verdict == Taken && row.age() <= remembered
	answer, by := b.ask(ctx, a), byHost
	if answer.Verdict == Silent {
		by = byNone
	}
	return by, say(answer, was)
}

func nobody() *mail.Fault {
	return mail.Final(mail.NoSuchMailbox, "There is no such mailbox here")
}

func closed() *mail.Fault {
	return mail.Final(mail.NotAuthorized, "The server that has this mailbox refuses mail for it: ask its owner who may write there")
}

// say makes a reply of an answer. was = the recipient was there when the host could
// be asked last.
func say(a Answer, was bool) *mail.Fault {
	switch {
	case a.Verdict == Taken:
		return nil
	case a.Verdict == Refused:
		return nobody()
	case a.Verdict == Closed:
		return closed()
	case was:
		return nil
	case a.Verdict == Later:
		return mail.Temporary(mail.NoSuchMailbox, "The server that has this mailbox takes no mail for it now, please try again later")
	}
	return mail.Temporary(mail.NoSuchMailbox, "It cannot be told now whether this mailbox exists, please try again later")
}

// ask waits for the answer to a question.
func (b *Book) ask(ctx context.Context, a mail.Address) Answer {
	q := b.begin(a, true)
	if q == nil {
		return Answer{Reply: "too many questions at once"}
	}
	select {
	case <-q.done:
		return q.answer
	case <-ctx.Done():
		return Answer{Reply: "who asked went away"}
	}
}

// probe finds out, without anybody who waits, whether a host takes every address.
func (b *Book) probe(d mail.Domain) {
	b.mu.Lock()
	soon := time.Since(b.looked[d.ASCII]) < lookAgain
	if !soon {
		b.looked[d.ASCII] = time.Now()
	}
	b.mu.Unlock()
	if soon {
		return
	}
	b.begin(mail.Address{Local: "*", Domain: d}, false)
}

// begin starts a question, unless it is under way already. nil = there are too many;
// those that nobody waits for (needed is false) are the first that there is no room for.
func (b *Book) begin(a mail.Address, needed bool) *question {
	key := a.Key()
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.open[key]; q != nil {
		return q
	}
	l := b.lines[a.Domain.ASCII]
	if l == nil {
		l = &line{slots: make(chan struct{}, maxPerDomain)}
		b.lines[a.Domain.ASCII] = l
	}
	if b.closed || len(b.open) >= maxOpen || l.open >= maxInLine || !needed && len(l.slots) == maxPerDomain {
		return nil
	}
	q := &question{done: make(chan struct{})}
	b.open[key] = q
	l.open++
	b.running.Go(func() { b.run(q, a, l) })
	return q
}

// run gets the answer and remembers it.
func (b *Book) run(q *question, a mail.Address, l *line) {
	ctx, cancel := context.WithTimeout(b.ctx, maxTime)
	defer cancel()
	q.answer = b.turn(ctx, a, l.slots)
	if v := q.answer.Verdict; v == Taken || v == Refused || v == Closed {
		// Also if who asked has no patience any more: it is known now.
		if err := b.keep(context.WithoutCancel(ctx), a, q.answer); err != nil {
			b.o.Logger.Error("an answer of a relay domain's host is not remembered", "recipient", a.String(), "error", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, a.Key())
	l.open--
	close(q.done)
}

// turn waits until it is a question's turn, and puts it, unless the host rests.
func (b *Book) turn(ctx context.Context, a mail.Address, slots chan struct{}) Answer {
	wait := time.NewTimer(maxWait)
	defer wait.Stop()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-wait.C:
		return Answer{Reply: "there are others to ask for"}
	case <-ctx.Done():
		return Answer{Reply: "the server stops"}
	}
	d := a.Domain.ASCII
	if b.rests(d) {
		return Answer{Reply: "the host could not be asked a moment ago"}
	}
	answer := b.put(ctx, a)
	// One that was cut short says nothing of the host.
	if answer.Verdict == Silent && ctx.Err() == nil {
		b.o.Logger.Warn("the host of a relay domain cannot be asked for a recipient", "domain", d, "reason", answer.Reply)
		b.mu.Lock()
		b.rest[d] = time.Now().Add(resting)
		b.mu.Unlock()
	}
	return answer
}

// put puts a question to the host, and what else it takes to know whom the answer means.
func (b *Book) put(ctx context.Context, a mail.Address) Answer {
	if a.Local == "*" {
		return b.look(ctx, a.Domain)
	}
	answer := b.asked(ctx, a)
	if answer.Verdict == Barred || answer.Verdict == Vague {
		return b.compare(ctx, a, answer)
	}
	return answer
}

// look asks for one that nobody can have, in a domain. It is the same one until the host
// tells: one that greylists puts off whomever it has not heard of before.
func (b *Book) look(ctx context.Context, d mail.Domain) Answer {
	b.mu.Lock()
	local := cmp.Or(b.made[d.ASCII], "hayauma-"+strings.ToLower(rand.Text()))
	b.made[d.ASCII] = local
	b.mu.Unlock()
	answer := b.asked(ctx, mail.Address{Local: local, Domain: d})
	if answer.Verdict == Vague {
		answer.Verdict = Refused // whomever it means, it does not take every address
	}
	if answer.Verdict != Later && answer.Verdict != Silent {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.made, d.ASCII)
	}
	return answer
}

// asked is what the host answers within the time for one question.
func (b *Book) asked(ctx context.Context, a mail.Address) Answer {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timeout())
	defer cancel()
	answer := b.o.Ask(ctx, a)
	b.o.Metrics.asked(answer.Verdict)
	return answer
}

// compare finds out whom a refusal means. Where the host takes mail for somebody else of the
// domain at the same time, it means the recipient; where it refuses those whom it took before,
// it means us. Where nobody is known yet, or nobody is there any more, it stays open. The host
// does not rest for that: else a stranger could name one recipient to have all others put off.
func (b *Book) compare(ctx context.Context, a mail.Address, refusal Answer) Answer {
	others, err := b.others(ctx, a)
	if err != nil {
		b.o.Logger.Error("nobody is known to compare a relay domain's recipient with", "recipient", a.String(), "error", err)
		return refusal
	}
	var doubted []mail.Address // refused as vaguely
	for _, other := range others {
		answer := b.asked(ctx, other)
		switch answer.Verdict {
		case Taken:
			b.left(ctx, doubted...)
			if refusal.Verdict == Vague {
				return Answer{Verdict: Refused, Reply: refusal.Reply}
			}
			return Answer{Verdict: Closed, Reply: refusal.Reply}
		case Barred, Silent:
			return Answer{Reply: answer.Reply}
		case Vague:
			doubted = append(doubted, other)
			refusal.Reply = answer.Reply
		case Refused:
			b.left(ctx, other)
		default:
			return refusal
		}
	}
	if len(doubted) > 0 {
		return Answer{Reply: refusal.Reply}
	}
	return refusal
}

// left remembers of some whom the host took before that they are not there any more.
func (b *Book) left(ctx context.Context, gone ...mail.Address) {
	for _, a := range gone {
		if err := b.keep(context.WithoutCancel(ctx), a, Answer{Verdict: Refused}); err != nil {
			b.o.Logger.Error("an answer of a relay domain's host is not remembered", "recipient", a.String(), "error", err)
		}
	}
}

func (b *Book) rests(domain string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, has := b.rest[domain]
	if has && time.Now().After(until) {
		delete(b.rest, domain)
		return false
	}
	return has
}
