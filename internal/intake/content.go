package intake

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/internal/wire/mime"
	"github.com/hayauma/hayauma/internal/wire/mime/sevenbit"
)

// maxReceived is how many hosts a message may have passed: more is a loop
// (RFC 5321 §6.3 asks for at least 100).
const maxReceived = 100

// maxValue bounds the header values that are looked at, in octets.
const maxValue = 1000

// content is the message's bytes on their way to the store.
type content struct {
	writer  blob.Writer
	parser  *mime.Parser // only if somebody here gets a copy
	parsed  *mime.Part   // what it found; nil = not asked yet
	scanner *mime.HeaderScanner
	sum     hash.Hash   // of the bytes as the peer sent them
	held    blob.Writer // a submission's header, until it is complete; nil = it is, or there is none
	dated   bool        // it has a Date that can be read
	named   bool        // and a Message-ID that is not empty
	size    int64       // as the peer sent it
	ruler   ruler       // of the lines as the peer sent them
	high    bool        // of our own users: what is to be stored has octets beyond ASCII
	fault   *mail.Fault
}

func (c *content) abort() {
	if c.writer != nil {
		c.writer.Abort()
		c.writer = nil
	}
	c.letGo()
}

// letGo gives back the memory of the header.
func (c *content) letGo() {
	if c.held != nil {
		c.held.Abort()
		c.held = nil
	}
}

// Write takes the next bytes of the content, with CRLF line ends and without
// dot-stuffing. Its error is a *mail.Fault: the door reads on to the final dot
// and then replies with it, as Commit does.
func (t *Transaction) Write(p []byte) (int, error) {
	c := &t.content
	if c.fault == nil {
		c.fault = t.take(p)
	}
	if c.fault != nil {
		c.abort()
		return 0, c.fault
	}
	return len(p), nil
}

func (t *Transaction) take(p []byte) *mail.Fault {
	c := &t.content
	if len(p) == 0 {
		return nil
	}
	if c.scanner == nil {
		if fault := t.open(); fault != nil {
			return fault
		}
		if fault := t.separate(p[0]); fault != nil {
			return fault
		}
	}
	if bytes.IndexByte(p, 0) >= 0 {
		// No mail may hold one (RFC 5322 §4), IMAP cannot hand it on, and hosts that
		// drop it see lines, and ends, that we did not.
		return mail.Final(mail.ContentOther, "The message holds a NUL octet, which no mail may")
	}
	c.size += int64(len(p))
	if c.size > t.settings.MessageSize {
		return mail.Final(mail.MessageTooBig, "The message is larger than we accept")
	}
	c.ruler.measure(p)
	_, _ = c.sum.Write(p) // a hash never fails
	wasDone := c.scanner.Done()
	if !wasDone {
		c.scanner.Feed(p)
		if fault := t.checkHeader(); fault != nil {
			return fault
		}
	}
	if !t.completes() || wasDone {
		return t.put(p)
	}
	if _, err := c.held.Write(p); err != nil {
		return storeFault(err)
	}
	if c.scanner.Done() {
		return t.putHead()
	}
	return nil
}

// completes tells whether missing fields are added: for our own users only
// (RFC 6409 §8), so that their header is held back until it is complete: in the store,
// whose memory is bounded, as a body is.
func (t *Transaction) completes() bool {
	return t.origin.Door == mail.DoorSubmission || t.origin.Door == mail.DoorCommand
}

// open starts the body with our trace.
func (t *Transaction) open() *mail.Fault {
	c := &t.content
	c.scanner = mime.NewHeaderScanner(maxValue)
	c.sum = sha256.New()
	c.writer = t.in.o.Blobs.Create()
	if len(t.accounts) > 0 {
		c.parser = t.newParser()
	}
	if t.completes() {
		c.held = t.in.o.Blobs.Create()
	}
	if t.origin.Door == mail.DoorBounce {
		return nil
	}
	return t.put(t.trace())
}

func (t *Transaction) newParser() *mime.Parser {
	return mime.NewParser(mime.Limits{HeaderBytes: int(t.settings.HeaderSize)})
}

// unnamed is a field for what a content begins with, if it has no name.
const unnamed = "X-Unnamed: the message began with a folded line\r\n"

// separate keeps a content that begins with a folded line from becoming a part
// of our own field before it.
func (t *Transaction) separate(first byte) *mail.Fault {
	if first != ' ' && first != '\t' {
		return nil
	}
	field := []byte(unnamed)
	if t.completes() {
		_, err := t.content.held.Write(field)
		return storeFault(err)
	}
	return t.put(field)
}

func (t *Transaction) put(p []byte) *mail.Fault {
	c := &t.content
	c.high = c.high || t.ours() && sevenbit.High(p)
	if c.parser != nil {
		_, _ = c.parser.Write(p) // never fails
	}
	if _, err := c.writer.Write(p); err != nil {
		return storeFault(err)
	}
	return nil
}

func (t *Transaction) checkHeader() *mail.Fault {
	s := t.content.scanner
	if s.Size() > t.settings.HeaderSize {
		return mail.Final(mail.MessageTooBig, "The header of the message is larger than we accept")
	}
	if s.Received().Count > maxReceived {
		return mail.Final(mail.RoutingLoop, "The message has passed too many hosts: it is in a loop")
	}
	return nil
}

// putHead writes a submission's header with the fields that it lacks, or that say
// nothing (RFC 6409 §8).
func (t *Transaction) putHead() *mail.Fault {
	c := &t.content
	defer c.letGo() // what waits for memory to be put there counts still
	head, err := c.header()
	if err != nil {
		return storeFault(err)
	}
	_, c.dated = mime.ParseDate(c.scanner.Date().Value())
	c.named = strings.Trim(c.scanner.MessageID().Value(), "<> \t") != ""
	var add []byte
	if !c.dated {
		add = append(add, "Date: "+t.started.Format(time.RFC1123Z)+"\r\n"...)
	}
	if !c.named {
		add = append(add, "Message-ID: "+t.messageID()+"\r\n"...)
	}
	var body []byte
	if c.scanner.Fields() == 0 {
		// No header at all: what came is the body, which nothing before it can take for its own.
		head, body = nil, bytes.TrimPrefix(head, []byte(unnamed))
		if !c.scanner.Done() || c.scanner.Junk() { // else its own blank line is there
			add = append(add, "\r\n"...)
		}
	}
	if t.judge != nil {
		// Its look-ups are short, and end by themselves.
		if fault := t.judge(context.Background(), mime.Header(head)); fault != nil {
			return fault
		}
	}
	return t.put(append(append(add, c.kept(head)...), body...))
}

// header is what is held of a submission, with what came behind its header at once.
func (c *content) header() ([]byte, error) {
	r, err := c.held.Reader()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// kept takes out what other recipients are not to see (RFC 5322 §3.6.3) and what only
// the last host may write (RFC 5321 §4.4), what some reader could take for either, and
// what ours stand for. Behind the header the body may begin.
func (c *content) kept(head []byte) []byte {
	var out []byte
	kept := 0 // up to here head is in out
	for f := range mime.Header(head).All() {
		if foreign(f) || !c.dated && f.Is("Date") || !c.named && f.Is("Message-ID") {
			out = append(out, head[kept:f.Offset]...)
			kept = f.Offset + len(f.Raw)
		}
	}
	if kept == 0 {
		return head
	}
	return append(out, head[kept:]...)
}

// foreign tells whether a field is none of a message that is sent.
func foreign(f mime.Field) bool {
	if began, first := bytes.CutPrefix(f.Raw, []byte(unnamed)); first {
		f.Raw = began
	}
	return f.Seems("Bcc") || f.Seems("Resent-Bcc") || f.Seems("Return-Path")
}

// named tells whether the content came with a Message-ID; an empty one is none where we
// give another (RFC 6409 §8.3).
func (t *Transaction) named() bool {
	if t.completes() {
		return t.content.named
	}
	return t.content.scanner.MessageID().Count > 0
}

// messageID is the Message-ID of the content: the peer's, or the one that we
// gave it.
func (t *Transaction) messageID() string {
	if c := &t.content; c.scanner != nil && t.named() {
		return c.scanner.MessageID().Value()
	}
	if t.completes() {
		return "<" + t.id.String() + "@" + t.settings.Hostname + ">"
	}
	return ""
}

// finish makes the bytes durable.
func (t *Transaction) finish(ctx context.Context) *mail.Fault {
	c := &t.content
	if c.fault == nil && c.scanner == nil {
		c.fault = t.open() // no content at all is content too
	}
	if c.fault == nil && t.completes() && !c.scanner.Done() {
		c.fault = t.putHead()
	}
	if c.fault == nil && !t.env.RequireTLS {
		wish := c.scanner.TLSRequired()
		t.env.TLSOptional = wish.Count == 1 && strings.EqualFold(wish.Value(), "No")
	}
	if c.fault == nil && t.ours() {
		c.fault = t.toSevenBit()
	}
	if c.fault == nil {
		c.fault = t.hear(ctx)
	}
	if c.fault == nil && !t.heard {
		c.fault = t.measure(ctx)
	}
	if c.fault == nil && !t.heard {
		c.fault = t.room.Keep(ctx)
	}
	if c.fault != nil || t.heard {
		return c.fault
	}
	if t.named() && t.mayRepeat() {
		t.receipt = t.fingerprint()
	}
	meta := blob.Meta{Message: t.id, Tenant: t.origin.Tenant, Time: mail.Micros(t.started)}
	if len(t.accounts) > 0 {
		meta.Account = t.accounts[0].account.ID
	}
	body, err := t.in.end(ctx, c.writer, meta)
	if err != nil {
		return storeFault(err)
	}
	t.stored = body
	return nil
}

// structure is that of the whole content; nil if nobody here gets a copy.
func (c *content) structure() *mime.Part {
	if c.parsed == nil && c.parser != nil {
		c.parsed = c.parser.Finish()
	}
	return c.parsed
}

// mayRepeat tells whether the sender can lose our reply: who calls us on this
// machine has its answer.
func (t *Transaction) mayRepeat() bool {
	return t.origin.Door != mail.DoorBounce && t.origin.Door != mail.DoorCommand
}

// fingerprint names the transaction as its sender sees it: content, reverse-path,
// forward-paths, Message-ID, login, and all that it wishes. A repeat is answered for the
// first, which must be what it asks for.
func (t *Transaction) fingerprint() Receipt {
	h := t.content.sum
	// Neither a content nor an address holds a NUL, and no forward-path is empty.
	b := append(make([]byte, 0, 256), 0)
	b = append(t.env.From.AppendASCII(b), 0)
	for _, r := range t.recipients {
		b = append(r.Address.AppendASCII(b), 0, byte(r.Notify))
		b = framed(b, r.ORCPT)
	}
	b = framed(append(b, 0), t.messageID())
	b = framed(framed(framed(b, t.env.Ret), t.env.EnvID), t.times)
	b = append(b, byte(t.env.Priority), bit(t.env.RequireTLS), bit(t.env.UTF8), bit(t.env.Release != 0), bit(t.env.By.At != 0))
	b = binary.BigEndian.AppendUint64(b, uint64(t.origin.Account))
	_, _ = h.Write(b) // a hash never fails
	return Receipt(max(1, binary.BigEndian.Uint64(h.Sum(b[:0]))>>1))
}

// framed appends a text with its length before it, so that it is not mixed up with
// what follows.
func framed(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func bit(is bool) byte {
	if is {
		return 1
	}
	return 0
}

// storeFault is the public side of what a store or the database says.
func storeFault(err error) *mail.Fault {
	if f, ok := errors.AsType[*mail.Fault](err); ok {
		return f
	}
	if errors.Is(err, db.ErrFull) || errors.Is(err, blob.ErrFull) {
		return mail.Temporary(mail.SystemFull, "Our storage is full, please try again later").Because(err)
	}
	if errors.Is(err, ratelimit.ErrBudget) {
		return mail.Temporary(mail.Overload, "Too many messages come in at once, please try again later").Because(err)
	}
	return mail.AsFault(err)
}
