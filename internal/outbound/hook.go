package outbound

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
)

// Bounds of what a web hook may cost.
const (
	hookTimeout   = 5 * time.Minute // for one request and its answer
	hookAnswer    = time.Minute     // for the status, once the message is sent
	hookWords     = 2 * time.Second // for the rest of the answer, which is only words for people
	maxHookAnswer = 64 << 10        // octets that are read of it
	maxHookWords  = 300             // octets of them that people are shown
	hookHeaders   = 32 << 10
	longestAfter  = 24 * time.Hour // of Retry-After
)

// hookEnvelope is what a web hook is told besides the message. Its JSON is ASCII, since
// it stands in a header field.
type hookEnvelope struct {
	Message string `json:"message"` // its id here
	From    string `json:"from"`    // empty = the null path
	To      string `json:"to"`
	Attempt int    `json:"attempt"` // from 1
}

// post gives a message to a web hook, each recipient in a request of its own: each has
// its own answer.
func (w *worker) post(t *transaction) []queue.Outcome {
	if via := w.set.via; via.proxy != "" && via.tls == "none" {
		// Kept from a version that took such a route.
		t.settle(aside(mail.Temporary(mail.NoRoute, "The route "+via.route+" leads to an http: URL of this machine by a proxy, which would get mail and secret in clear: "+
			"set it anew with an https: URL, or without the proxy, by 'hayauma route set'")))
	}
	if t.m.RequireTLS && !t.m.From.IsNull() { // its certificate is verified: a report needs no more (RFC 8689 §5)
		t.settle(aside(mail.Final(mail.RequireTLSNeeded, "The sender requires TLS all the way, which a web hook does not promise (REQUIRETLS)")))
	}
	body := &noted{Reader: t.body}
	t.body = body
	for len(t.pending) > 0 {
		if w.ctx.Err() != nil || !t.mayBegin() {
			return t.untried()
		}
		if t.m.By.Over(mail.Micros(time.Now())) { // each request may take minutes
			t.settle(aside(mail.Temporary(mail.DeliveryExpired, "The time within which it was to be delivered is over")))
			break
		}
		r := t.pending[0]
		p := w.postOne(t, r)
		if p.result == queue.TryLater && body.failed.Load() != nil {
			t.unread(*body.failed.Load())
			p = aside(mail.Temporary(mail.SystemError, unreadable))
		}
		t.note(r, p)
		t.pending = t.pending[1:]
		switch {
		case p.missed:
			t.settle(p) // as for a host that is not there
		case p.away():
			return t.untried()
		}
	}
	return t.outcomes()
}

// away tells whether a web hook takes nothing now: it has too much to do, or it did not
// answer. What else it says may be about the recipient.
func (p problem) away() bool {
	return p.result == queue.TryLater && !p.aside && (p.strained || !p.quotes)
}

// noted is a body of which is remembered that it could not be read: a request that ends
// for that does not say so.
type noted struct {
	blob.Reader
	failed atomic.Pointer[error]
}

// ReadAt implements io.ReaderAt.
func (n *noted) ReadAt(p []byte, off int64) (int, error) {
	count, err := n.Reader.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		n.failed.Store(&err)
	}
	return count, err
}

func (w *worker) postOne(t *transaction, r queue.Recipient) problem {
	from, _, err := w.o.o.From(w.ctx, t.m, r.Address)
	if err != nil {
		return aside(mail.Temporary(mail.SystemError, noReturnPath).Because(err))
	}
	// A server that stops lets a request end within its grace.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), hookTimeout)
	defer cancel()
	stop := context.AfterFunc(w.ctx, func() { time.AfterFunc(w.set.Grace, cancel) })
	defer stop()
	request, err := w.hookRequest(ctx, t, r, from)
	if err != nil {
		return aside(mail.Temporary(mail.SystemError, unreadable).Because(err))
	}
	host := request.URL.Hostname()
	answer, err := w.hooks().RoundTrip(request) // which follows nobody elsewhere
	if err != nil {
		if p := w.locked(err); p != nil {
			p.host, p.missed = host, true
			return *p
		}
		dial := new(net.OpError)
		missed := errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, new(*net.DNSError)) || errors.Is(err, dnsx.ErrNotFound) || errors.Is(err, dnsx.ErrNoData)
		p := finding(mail.Temporary(mail.NoAnswer, "web hook at "+request.URL.Host+": "+reason(err)))
		p.host, p.missed = host, missed && w.ctx.Err() == nil
		switch {
		case w.ctx.Err() == nil:
		case missed:
			p.result = queue.NotTried
		default:
			p.result = queue.CutOff
		}
		return p
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	words := time.AfterFunc(hookWords, cancel) // the status has told what became of the message
	defer words.Stop()
	p := judgeHook(answer, time.Now())
	p.host = host
	if answer.TLS != nil {
		p.tls = tlsWords(*answer.TLS) + ", verified (route " + w.set.via.route + ")"
	}
	return p
}

// hookRequest is the message with its envelope and, if the route has a secret, the proof
// that it is from us.
func (w *worker) hookRequest(ctx context.Context, t *transaction, r queue.Recipient, from mail.Address) (*http.Request, error) {
	via := w.set.via
	body := func() (io.ReadCloser, error) { return io.NopCloser(t.content()), nil }
	content, err := body()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, via.url, content)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(hookEnvelope{Message: t.m.ID.String(), From: from.String(), To: r.Address.String(), Attempt: r.Attempts + 1})
	if err != nil {
		return nil, err
	}
	envelope, stamp := inASCII(string(text)), strconv.FormatInt(time.Now().Unix(), 10)
	request.ContentLength, request.GetBody = t.stored(), body
	h := request.Header
	h.Set("User-Agent", "hayauma")
	h.Set("Content-Type", "message/rfc822")
	h.Set("Hayauma-Envelope", envelope)
	h.Set("Hayauma-Timestamp", stamp)
	// With it a connection that was found dead is replaced, and who gets a message twice
	// knows.
	h.Set("Idempotency-Key", t.m.ID.String()+"-"+r.ID.String())
	switch via.auth {
	case route.Bearer:
		h.Set("Authorization", "Bearer "+via.password)
	case route.HMAC:
		mac := hmac.New(sha256.New, []byte(via.password))
		fmt.Fprintf(mac, "%s\n%s\n", stamp, envelope)
		if _, err := io.Copy(mac, t.content()); err != nil {
			return nil, err
		}
		h.Set("Hayauma-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	return request, nil
}

// hooks is the connection of a worker to the web hook of its route.
func (w *worker) hooks() *http.Transport {
	if w.hook == nil {
		four := w.set.IPv4Only
		dialer := &dnsx.Dialer{Resolver: w.o.o.Resolver, Dial: w.dialer(), IPv4Only: func() bool { return four }}
		w.hook = &http.Transport{
			DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConns: 1, ResponseHeaderTimeout: hookAnswer,
			MaxResponseHeaderBytes: hookHeaders, TLSClientConfig: w.o.o.TLS().Clone(), TLSHandshakeTimeout: w.set.ConnectTimeout,
		}
		w.hook.TLSClientConfig.MinVersion = tls.VersionTLS12
	}
	return w.hook
}

// judgeHook says what an answer means. A message is refused for good only by a status
// that says so of what was sent. Others that begin with 4 say that we are not let in, or
// that the web hook is not there: 404 is what a wrong URL gives, which is to be mended
// and bounces no mail.
func judgeHook(answer *http.Response, now time.Time) problem {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxHookAnswer)) // words for people
	code := answer.StatusCode
	said := fmt.Sprintf("The web hook answers %d %s", code, http.StatusText(code))
	if words := firstLine(string(text)); words != "" {
		said = fmt.Sprintf("The web hook answers %d: %s", code, words)
	}
	if code/100 == 2 {
		return problem{result: queue.Delivered, code: 250, enhanced: "2.0.0", text: said}
	}
	switch code {
	case http.StatusRequestEntityTooLarge:
		return quoting(mail.Final(mail.MessageTooBig, said))
	case http.StatusBadRequest, http.StatusNotAcceptable, http.StatusGone, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return quoting(mail.Final(mail.Undefined, said))
	}
	if code/100 == 3 {
		said += "; redirections are not followed"
	}
	p := quoting(mail.Temporary(mail.SystemError, said))
	p.after = retryAfter(answer.Header.Get("Retry-After"), now)
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		p.strained, p.pause = true, p.after // RFC 6585 §4, RFC 9110 §15.6.4: it is about the client or the server
	}
	return p
}

// quoting is a finding that says what a web hook said. The codes of SMTP in it are ours.
func quoting(f *mail.Fault) problem {
	p := finding(f)
	p.quotes = true
	return p
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3); 0 = neither, or not later.
func retryAfter(value string, now time.Time) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	d := time.Duration(seconds) * time.Second
	if at, dateErr := http.ParseTime(value); err != nil && dateErr == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), longestAfter)
}

// firstLine is the first line with anything in it that people can read.
func firstLine(s string) string {
	for line := range strings.Lines(strings.ToValidUTF8(s, "?")) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			return bounded(line, maxHookWords)
		}
	}
	return ""
}

// inASCII writes JSON with ASCII alone.
func inASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
