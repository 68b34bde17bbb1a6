package outbound_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

// received is one request to a web hook.
type received struct {
	header http.Header
	body   string
	length int64
}

// webHook is a web server that answers as the test says.
type webHook struct {
	*httptest.Server
	answer func(w http.ResponseWriter, r *http.Request, body string)

	mu   sync.Mutex
	seen []received
}

func (h *webHook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	h.seen = append(h.seen, received{r.Header.Clone(), string(body), r.ContentLength})
	h.mu.Unlock()
	if h.answer != nil {
		h.answer(w, r, string(body))
	}
}

func (h *webHook) requests() []received {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]received{}, h.seen...)
}

// hook starts a web hook and makes a route to it.
func (w *world) hook(name string, auth route.Auth, secret string, answer func(http.ResponseWriter, *http.Request, string)) *webHook {
	w.t.Helper()
	h := &webHook{answer: answer}
	h.Server = httptest.NewServer(h)
	w.t.Cleanup(h.Close)
	addr := h.Listener.Addr().String()
	w.routes[addr] = addr
	w.ways[name] = route.Route{Name: name, Kind: route.HTTP, URL: h.URL + "/mail?tenant=1", Auth: auth, Secret: route.Secret(secret)}
	return h
}

// secureHook starts a web hook with TLS, whose certificate is trusted, and makes a route to it.
func (w *world) secureHook(name string) *webHook {
	w.t.Helper()
	h := &webHook{}
	h.Server = httptest.NewTLSServer(h)
	w.t.Cleanup(h.Close)
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	w.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	w.ways[name] = route.Route{Name: name, Kind: route.HTTP, URL: h.URL}
	return h
}

// TestHookSigned: the receiver of the guide accepts what we send, and nothing that was
// changed; the envelope is read as JSON.
func TestHookSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	verify := func(h http.Header, body string) bool {
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write([]byte(h.Get("Hayauma-Timestamp") + "\n" + h.Get("Hayauma-Envelope") + "\n" + body))
		return hmac.Equal([]byte("sha256="+hex.EncodeToString(mac.Sum(nil))), []byte(h.Get("Hayauma-Signature")))
	}
	h := w.hook("r", route.HMAC, "s3cret", func(w http.ResponseWriter, r *http.Request, body string) {
		if !verify(r.Header, body) {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	job := w.job("a@x.test", "早馬😀@例え.test")
	for i := range job.Recipients {
		job.Recipients[i].Site = route.Site("r")
	}
	got := w.deliver(t.Context(), job)[0]
	w.want(got, "delivered 250 2.0.0 theirs", "delivered 250 2.0.0 theirs")
	if got[0].Host != "127.0.0.1" || got[0].Reply != "The web hook answers 200 OK" {
		t.Errorf("%+v", got[0])
	}
	requests := h.requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests", len(requests))
	}
	for i, r := range requests {
		if want := "X-Prefix: yes\r\n" + text; r.body != want || r.length != int64(len(want)) || r.header.Get("Content-Type") != "message/rfc822" || r.header.Get("Authorization") != "" {
			t.Errorf("%+v", r)
		}
		var e struct {
			Message, From, To string
			Attempt           int
		}
		if err := json.Unmarshal([]byte(r.header.Get("Hayauma-Envelope")), &e); err != nil || e.To != job.Recipients[i].Address.String() ||
			e.From != "from@us.test" || e.Attempt != 1 || e.Message != job.Message.ID.String() {
			t.Errorf("%+v, %v", e, err)
		}
		if verify(r.header, r.body+" ") {
			t.Error("a changed message is taken for ours")
		}
		r.header.Set("Hayauma-Envelope", strings.Replace(r.header.Get("Hayauma-Envelope"), "from@us.test", "boss@us.test", 1))
		if verify(r.header, r.body) {
			t.Error("a changed envelope is taken for ours")
		}
	}
	if requests[0].header.Get("Idempotency-Key") == requests[1].header.Get("Idempotency-Key") {
		t.Error("two recipients have one key")
	}
}

func TestHookBearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("r", route.Bearer, "token", nil)
	w.want(w.by("r", "a@x.test"), "delivered 250 2.0.0 theirs")
	if got := h.requests()[0].header; got.Get("Authorization") != "Bearer token" || got.Get("Hayauma-Signature") != "" {
		t.Errorf("%v", got)
	}
}

// TestHookAnswers: what each answer means for the message.
func TestHookAnswers(t *testing.T) {
	t.Parallel()
	const later, refused = "deferred 451 4.3.0 ours", "failed 550 5.0.0 ours"
	for _, c := range []struct {
		code     int
		body     string
		after    string
		want     string
		words    string
		again    time.Duration
		strained bool
	}{
		{code: 200, body: "taken\n", want: "delivered 250 2.0.0 theirs", words: "The web hook answers 200: taken"},
		{code: 204, want: "delivered 250 2.0.0 theirs", words: "The web hook answers 204 No Content"},
		{code: 302, want: later, words: "redirections are not followed"},
		{code: 400, body: "\n  no such\x1b ticket \nmore", want: refused, words: "The web hook answers 400: no such  ticket"},
		{code: 401, want: later},
		{code: 403, want: later},
		{code: 404, want: later, words: "The web hook answers 404 Not Found"},
		{code: 408, want: later},
		{code: 413, want: "failed 552 5.3.4 ours"},
		{code: 422, want: refused},
		{code: 425, want: later},
		{code: 429, after: "120", want: later, again: 2 * time.Minute, strained: true},
		{code: 500, after: "120", want: later, again: 2 * time.Minute},
		{code: 500, body: strings.Repeat("é", 200), want: later, words: strings.Repeat("é", 150)},
		{code: 503, after: "999999999", want: later, again: 24 * time.Hour, strained: true},
		{code: 503, after: "Mon, 02 Jan 2006 15:04:05 GMT", want: later, strained: true},
		{code: 503, after: "soon", want: later, strained: true},
	} {
		t.Run(fmt.Sprint(c.code, c.after), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.hook("r", route.NoAuth, "", func(w http.ResponseWriter, _ *http.Request, _ string) {
				w.Header().Set("Location", "/elsewhere")
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.code)
				_, _ = io.WriteString(w, c.body)
			})
			got := w.by("r", "a@x.test")
			w.want(got, c.want)
			if o := got[0]; !strings.Contains(o.Reply, c.words) || o.Again != c.again || o.Strained != c.strained || o.Unreached || o.Quotes != (c.code/100 != 2) || c.strained && o.Pause != c.again || !c.strained && o.Pause != 0 || len(o.Reply) > 400 {
				t.Errorf("%+v", o)
			}
			if n := len(h.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestHookSlowWords: once the status is there nobody waits for an answer that does not end.
func TestHookSlowWords(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]string{200: "delivered 250 2.0.0 theirs", 503: "deferred 451 4.3.0 ours"} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.hook("r", "", "", func(rw http.ResponseWriter, r *http.Request, _ string) {
				rw.WriteHeader(code)
				_, _ = io.WriteString(rw, "first words\n")
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-r.Context().Done():
				case <-time.After(30 * time.Second):
					t.Error("the answer is still waited for")
				}
			})
			got := w.by("r", "a@x.test")
			w.want(got, want)
			if reply := fmt.Sprintf("The web hook answers %d: first words", code); got[0].Reply != reply {
				t.Errorf("%q, want %q", got[0].Reply, reply)
			}
		})
	}
}

// TestHookTooLate: what is worth nothing any more is not posted.
func TestHookTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("r", route.NoAuth, "", nil)
	for at, want := range map[time.Duration]string{-time.Minute: "deferred 451 4.4.7 ours", time.Minute: "delivered 250 2.0.0 theirs"} {
		job := w.job("a@x.test")
		job.Recipients[0].Site = route.Site("r")
		job.Message.By = mail.DeliverBy{At: mail.Micros(time.Now().Add(at)), Return: true}
		w.want(w.deliver(t.Context(), job)[0], want)
	}
	if n := len(h.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestHookTooLateMeanwhile: the time is over while the first recipient is served.
func TestHookTooLateMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("r", route.NoAuth, "", nil)
	job := w.job("a@x.test", "b@x.test", "c@x.test")
	for i := range job.Recipients {
		job.Recipients[i].Site = route.Site("r")
	}
	job.Message.By = mail.DeliverBy{At: mail.Micros(time.Now().Add(time.Hour)), Return: true}
	var settled []queue.Outcome
	job.Course = course(func(outcomes []queue.Outcome, left []queue.Recipient) []queue.Recipient {
		settled = append(settled, outcomes...)
		job.Message.By.At = mail.Micros(time.Now())
		return left
	})
	last := w.deliver(t.Context(), job)[0]
	w.want(append(settled, last...), "delivered 250 2.0.0 theirs", "deferred 451 4.4.7 ours", "deferred 451 4.4.7 ours")
	if n := len(h.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestHookAway: one that is not there is down, and one that breaks off is not.
func TestHookAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("r", route.NoAuth, "", func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) })
	got := w.by("r", "a@x.test")[0]
	if got.Result != queue.TryLater || got.Unreached || !got.Ours {
		t.Errorf("broken off: %+v", got)
	}
	delete(w.routes, h.Listener.Addr().String())
	got = w.by("r", "a@x.test")[0]
	if got.Result != queue.TryLater || !got.Unreached || !strings.Contains(got.Reply, "connection refused") || !strings.HasPrefix(got.Enhanced, "4.4.") {
		t.Errorf("away: %+v", got)
	}
	if e := w.o.Explain(t.Context(), mail.Domain{ASCII: route.Site("r")}, ""); !strings.Contains(e.By, h.URL) || e.TLS != "never" || len(e.Hosts) != 1 {
		t.Errorf("%+v", e)
	}
}

// TestHookAwayForAll: a web hook that is not there, does not answer, or has too much to do is
// asked about one recipient of a message, one that finds fault with him about the others too.
func TestHookAwayForAll(t *testing.T) {
	t.Parallel()
	const later, refused = "deferred 451 4.3.0 ours", "failed 550 5.0.0 ours"
	for name, c := range map[string]struct {
		answer   func(http.ResponseWriter, *http.Request, string)
		requests int
		want     []string
	}{
		"429":    {status(429), 1, []string{later}},
		"503":    {status(503), 1, []string{later}},
		"500":    {status(500), 3, []string{later, later, later}},
		"422":    {status(422), 3, []string{refused, refused, refused}},
		"silent": {func(http.ResponseWriter, *http.Request, string) { panic(http.ErrAbortHandler) }, 1, []string{"deferred 451 4.4.1 ours"}},
		"gone":   {nil, 0, []string{"deferred 451 4.4.1 ours", "deferred 451 4.4.1 ours", "deferred 451 4.4.1 ours"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.hook("r", "", "", c.answer)
			if c.answer == nil {
				delete(w.routes, h.Listener.Addr().String())
			}
			got := w.by("r", "a@x.test", "b@x.test", "c@x.test")
			w.want(got, c.want...)
			if n, dials := len(h.requests()), strings.Fields(w.dials()); n != c.requests || c.answer == nil && len(dials) != 1 {
				t.Errorf("%d requests, dialed %v", n, dials)
			}
		})
	}
}

// status answers with one.
func status(code int) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "quota exceeded")
	}
}

// TestHookRuled: the operator's rules about replies hold for what a web hook says, and for
// nothing that we find of it.
func TestHookRuled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var said []string
	w.options.Judge = func(_ string, r outbound.Reply) outbound.Ruling {
		said = append(said, r.Text)
		return outbound.Ruling{Turn: true, Why: "rule 1"}
	}
	w.o.Close()
	w.o = outbound.New(w.options)
	h := w.hook("r", "", "", status(429))
	w.want(w.by("r", "a@x.test"), "failed 451 4.3.0 ours")
	delete(w.routes, h.Listener.Addr().String())
	h.CloseClientConnections()
	w.want(w.by("r", "a@x.test"), "deferred 451 4.4.1 ours")
	if want := []string{"The web hook answers 429: quota exceeded"}; !slices.Equal(said, want) {
		t.Errorf("asked about %q", said)
	}
}

// TestHookInClearByAProxy: http: leads to this machine alone, and by a proxy it would to
// another. A route that was kept so waits until it is mended.
func TestHookInClearByAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook("r", route.Bearer, "s3cret", nil)
	addr := h.Listener.Addr().String()
	proxy := testkit.StartProxy(t, map[string]string{addr: addr})
	w.routes[proxy.Addr] = proxy.Addr
	way := w.ways["r"]
	way.Proxy = "socks5://" + proxy.Addr
	w.ways["r"] = way
	got := w.by("r", "a@x.test", "b@x.test")
	for i := range got {
		w.want(got[i:i+1], "deferred 451 4.4.4 ours")
		if !strings.Contains(got[i].Reply, "hayauma route set") || got[i].Unreached {
			t.Errorf("%+v", got[i])
		}
	}
	if len(got) != 2 || len(h.requests()) != 0 || len(proxy.Asked()) != 0 {
		t.Errorf("%d outcomes, %d requests, asked for %v", len(got), len(h.requests()), proxy.Asked())
	}
	way.Proxy = ""
	way.Changed++
	w.ways["r"] = way
	w.want(w.by("r", "a@x.test"), "delivered 250 2.0.0 theirs")
}

// TestHookTLS: the certificate of a web hook is verified.
func TestHookTLS(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"app.test": "delivered 250 2.0.0 theirs", "other.test": "deferred 451 4.4.1 ours"} {
		ca := testkit.NewCA(t)
		w := newWorld(t, "app.test. 60 A 10.0.0.1")
		w.tls = ca.ClientConfig("")
		h := &webHook{}
		h.Server = httptest.NewUnstartedServer(h)
		h.TLS = ca.ServerConfig(t, name)
		h.Config.ErrorLog = nil
		h.StartTLS()
		t.Cleanup(h.Close)
		w.routes["10.0.0.1:443"] = h.Listener.Addr().String()
		w.ways["r"] = route.Route{Name: "r", Kind: route.HTTP, URL: "https://app.test/mail"}
		got := w.by("r", "a@x.test")
		w.want(got, want)
		if name == "app.test" && !strings.HasPrefix(got[0].TLS, "TLSv1.3") || name == "other.test" && (len(h.requests()) != 0 || got[0].Unreached) {
			t.Errorf("%s: %+v", name, got[0])
		}
	}
}
