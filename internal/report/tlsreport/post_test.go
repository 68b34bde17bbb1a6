package tlsreport_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/report/tlsreport"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestPost: who gets a report, and what counts as taken.
func TestPost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		uri     string
		records string
		status  int
		tls     func(*testkit.CA) *tls.Config
		err     string // empty = taken
		asked   int
	}{
		"created":                 {asked: 1},
		"no content":              {status: 204, asked: 1},
		"an address":              {uri: "https://192.0.2.9/", tls: func(ca *testkit.CA) *tls.Config { return ca.ServerConfig(t, "192.0.2.9") }, asked: 1},
		"a redirect":              {status: 307, err: "answers 307", asked: 1},
		"not found":               {status: 404, err: "answers 404", asked: 1},
		"too large":               {status: 413, err: "answers 413", asked: 1},
		"without TLS":             {uri: "http://r.test/", err: "no https"},
		"a file":                  {uri: "file:///etc/passwd", err: "no https"},
		"a stranger's":            {tls: func(*testkit.CA) *tls.Config { return testkit.NewCA(t).ServerConfig(t, "r.test") }, err: "unknown authority"},
		"another's":               {tls: func(ca *testkit.CA) *tls.Config { return ca.ServerConfig(t, "s.test") }, err: "not r.test"},
		"expired":                 {tls: func(ca *testkit.CA) *tls.Config { return ca.Expired(t, "r.test") }, err: "expired"},
		"no such host":            {uri: "https://t.test/", err: "t.test"},
		"this machine":            {uri: "https://127.0.0.1/", err: "no public address"},
		"this machine by IPv6":    {uri: "https://[::ffff:127.0.0.1]/", err: "no public address"},
		"this machine by name":    {uri: "https://t.test/", records: "t.test. 60 A 127.0.0.1", err: "no public address"},
		"a private network":       {uri: "https://t.test/", records: "t.test. 60 A 10.1.2.3", err: "no public address"},
		"a private network, IPv6": {uri: "https://t.test/", records: "t.test. 60 AAAA fd00::1", err: "no public address"},
		"the next machine":        {uri: "https://t.test/", records: "t.test. 60 A 169.254.169.254", err: "no public address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.status != 0 {
				w.answer(c.status)
			}
			if c.records != "" {
				w.dns.Add(c.records)
			}
			if c.tls != nil {
				w.web.TLS.Certificates = c.tls(w.ca).Certificates
			}
			if c.uri == "" {
				c.uri = "https://r.test/"
			}
			err := w.poster().Post(t.Context(), c.uri, []byte("x"))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
			if n := len(w.got()); n != c.asked {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// TestSilentServer costs a minute, and no more.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		exchange, dial := testkit.Silence(t)
		p := &tlsreport.Poster{
			Resolver: dnsx.New(dnsx.Options{Server: "192.0.2.1", Exchange: exchange}), Dial: dial,
		}
		start := time.Now()
		err := p.Post(t.Context(), "https://r.test/", []byte("x"))
		if d := time.Since(start); err == nil || d > time.Minute || d < 10*time.Second {
			t.Errorf("after %v: %v", d, err)
		}
	})
}

// TestEndlessAnswer is not read to its end.
func TestEndlessAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.web.Config.Handler = http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = answer.Write([]byte(strings.Repeat("x", 4096))) // the client may have seen enough
		}
	})
	if err := w.poster().Post(t.Context(), "https://r.test/", []byte("x")); err != nil {
		t.Error(err)
	}
}
