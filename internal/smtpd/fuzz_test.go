package smtpd_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/listen"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/test/stack"
)

// fuzzed is the server of FuzzSession: every door, one of them behind a proxy.
type fuzzed struct {
	*rig
	proxied  string // its address
	password string // an app password of alice's, which SCRAM takes
}

func newFuzzed(f *testing.F) *fuzzed {
	r := newRig(f, stack.Options{SCRAM: true})
	r.change(func(s *smtpd.Settings) { s.AllowCleartext, s.Verify = true, true })
	password, err := r.Directory.AddAppPassword(f.Context(), r.Address("alice@hayauma.test"), account.AppPassword{Name: "fuzz", Scopes: account.Scopes()})
	if err != nil {
		f.Fatal(err)
	}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	g := listen.New(listen.Options{Proxies: func() []netip.Prefix { return loopback }, ProxyTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	handle := func(ctx context.Context, c net.Conn) { r.server.Serve(ctx, c, mail.DoorSMTP) }
	if err := g.Start(f.Context(), []listen.Service{{Name: "smtp", Addrs: []string{"127.0.0.1:0"}, Handle: handle}}); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		g.Stop(ctx)
	})
	return &fuzzed{rig: r, proxied: g.Addrs()[0].Addr.String(), password: password}
}

// fuzzedDoors are those of dialDoor, and P behind a proxy.
const fuzzedDoors = "1234567P"

// open begins a session at a door, and returns what is left to be said: at the one
// behind a proxy its header comes first.
func (f *fuzzed) open(door byte, head, in []byte) (net.Conn, []byte, error) {
	if door != 'P' {
		conn, err := f.dialDoor(string(door))
		return conn, in, err
	}
	all := append(bytes.Clone(head), in...)
	size := min(headerSize(all), len(all))
	var d net.Dialer
	conn, err := d.DialContext(context.Background(), "tcp", f.proxied)
	if err == nil {
		_, err = conn.Write(all[:size])
	}
	return conn, all[size:], err
}

// headerSize is how long a PROXY header says it is; what is none is all of it.
func headerSize(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); bytes.HasPrefix(b, []byte("PROXY ")) && i >= 0 {
		return i + 1
	}
	if len(b) >= 16 && bytes.HasPrefix(b, []byte("\r\n\r\n\x00\r\nQUIT\n")) {
		return 16 + int(binary.BigEndian.Uint16(b[14:]))
	}
	return len(b)
}

// quiet waits until no more goroutines live than before.
func quiet(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines live where %d did: %v", runtime.NumGoroutine(), before, goleak.Find())
		}
	}
}

// FuzzSession says anything at any door, in clear and in TLS, and hangs up. An
// oracle reads along: each command has its one reply, each reply its form, no
// message is taken that was not whole, and nothing of the session lives on.
func FuzzSession(f *testing.F) {
	seedSessions(f)
	server := newFuzzed(f)
	before := 0
	f.Fuzz(func(t *testing.T, door byte, head, in []byte) {
		if len(in) > 40<<10 || len(head) > 8<<10 {
			t.Skip("longer than it has to be")
		}
		door = fuzzedDoors[int(door)%len(fuzzedDoors)]
		if before == 0 {
			before = runtime.NumGoroutine()
		}
		conn, rest, err := server.open(door, head, in)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }() // the server closes first
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		o := &oracle{t: t, f: server, door: door, conn: conn, bursts: bursts(rest)}
		o.watch()
		_ = conn.Close()
		server.served.Wait()
		quiet(t, before+1) // the database may have opened another connection
	})
}

// bursts cuts what is said where the next words depend on the replies: behind
// STARTTLS, and around a line "!", which stands for what SCRAM says next.
func bursts(in []byte) [][]byte {
	var out [][]byte
	var burst []byte
	end := func() {
		if len(burst) > 0 {
			out = append(out, burst)
			burst = nil
		}
	}
	for line := range bytes.Lines(in) {
		word := strings.ToUpper(strings.TrimSpace(string(line)))
		if word == "!" {
			end()
		}
		burst = append(burst, line...)
		if word == "!" || word == "STARTTLS" || word == scramBegins {
			end()
		}
	}
	end()
	return out
}

const scramBegins = "AUTH SCRAM-SHA-256 !"

// seedSessions has an example of everything.
func seedSessions(f *testing.F) {
	const (
		smtp, submission, secured, lmtp, trusted, fronted, fronted2, proxied = 0, 1, 2, 3, 4, 5, 6, 7

		envelope = "EHLO a\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<alice@hayauma.test>\r\n"
		content  = "DATA\r\nSubject: a\r\n\r\nx\r\n.\r\n"
	)
	login := "AUTH PLAIN " + plainAlice + "\r\n"
	own := "MAIL FROM:<alice@hayauma.test>\r\nRCPT TO:<bob@hayauma.test>\r\nRCPT TO:<x@elsewhere.test>\r\n"
	for _, s := range []struct {
		door     byte
		head, in string
	}{
		{smtp, "", envelope + content + "QUIT\r\n"},
		{smtp, "", "EHLO a\r\nMAIL FROM:<> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\nRCPT TO:<j\u00fcrgen@hayauma.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.test\r\nRCPT TO:<bob@hayauma.test>\r\n" + content},
		{smtp, "", "\r\n\n\x00\r\nHELO\r\nHELP\r\nVRFY a\r\nNOOP\r\nVRFY <alice@hayauma.test>\r\nVRFY j\u00fcrgen@hayauma.test\r\n"},
		{smtp, "", "EHLO a\r\nSTARTTLS\r\n" + envelope + "BDAT 5\r\nA: b\nBDAT 3 LAST\r\n\r\nx" + content + "QUIT\r\n"},
		{smtp, "", envelope + "BDAT 6\r\nA: b\r\nBDAT 4 LAST\r\n\r\nx\r\nRSET\r\nBDAT 4 LAST\r\nNOOPBDAT x\r\n"},
		{smtp, "", envelope + "DATA\r\n.\r\n" + "MAIL FROM:<a@b.test> X-" + strings.Repeat("A", 2000) + "\r\n" + "NOOP " + strings.Repeat("x", 13000) + "\r\n"},
		{smtp, "", "EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<team@hayauma.test>\r\nRCPT TO:<bob@hayauma.test>\r\nRCPT TO:<x@elsewhere.test>\r\nDATA\r\n\n.\r\n.\r\n.\r\n"},
		{submission, "", "EHLO a\r\nAUTH LOGIN\r\n*\r\nAUTH PLAIN AGEAYg==\r\nSTARTTLS\r\n\x16\x03\x01"},
		{submission, "", "EHLO a\r\nAUTH LOGIN\r\n\x16\x03\x01"},
		{submission, "", "EHLO a\r\nSTARTTLS\r\nEHLO a\r\n" + scramBegins + "\r\n!\r\n!\r\n" + own + content},
		{submission, "", "EHLO a\r\n" + login + own + content + "MAIL FROM:<alice@hayauma.test> HOLDFOR=60\r\nRCPT TO:<x@elsewhere.test>\r\n" + content},
		{submission, "", "EHLO a\r\nAUTH LOGIN\r\nYWxpY2VAaGF5YXVtYS50ZXN0\r\nYSBnb29kIGhvcnNl\r\n" + own + content},
		{secured, "", "EHLO a\r\n" + scramBegins + "\r\n!\r\n!\r\n" + own + content + "STARTTLS\r\nQUIT\r\n"},
		{secured, "", "EHLO a\r\n" + scramBegins + "\r\n!\r\nbm8=\r\nMAIL FROM:<alice@hayauma.test> AUTH=<> HOLDUNTIL=2020-01-01T00:00:00Z\r\n"},
		{lmtp, "", "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<team@hayauma.test>\r\nDATA\r\n\n.\n\r.\r\r\n.\r\nRSET\r\n"},
		{lmtp, "", "LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@hayauma.test>\r\nRCPT TO:<mixed@hayauma.test>\r\nBDAT 7 LAST\r\nA: b\r\n\r\nMAIL FROM:<>\r\nRCPT TO:<bob@hayauma.test>\r\nBDAT 2 LAST\r\n\n\nQUIT\r\n"},
		{trusted, "", "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<x@elsewhere.test>\r\nRCPT TO:<y@elsewhere.test>\r\n" + content},
		{fronted, "", "EHLO a\r\nXFORWARD NAME=a ADDR=192.0.2.1\r\nXCLIENT ADDR=10.1.2.3 HELO=b NAME=[UNAVAILABLE]\r\n" + envelope + "RCPT TO:<x@elsewhere.test>\r\n" + content},
		{fronted2, "", "XCLIENT ADDR=IPV6:2001:db8::1 PORT=1 LOGIN=alice@hayauma.test\r\nEHLO a\r\n" + own + content},
		{proxied, "PROXY TCP4 10.1.2.3 192.0.2.1 1 25\r\n", envelope + "RCPT TO:<x@elsewhere.test>\r\n" + content},
		{proxied, "PROXY TCP4 198.51.100.9 192.0.2.1 1 25\r\n", "EHLO a\r\nSTARTTLS\r\nEHLO a\r\nXCLIENT ADDR=10.1.2.3\r\n" + envelope + content},
		{proxied, "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x01\x02\x03\xc0\x00\x02\x01\x00\x01\x00\x19", envelope + content},
		{proxied, "PROXY UNKNOWN\r\nEHLO early\r\n", envelope + content},
		{proxied, "EHLO a\r\n", envelope},
		{proxied, "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r", "P"},
		{smtp, "", "GET / HTTP/1.0\r\n\r\n"}, {smtp, "", "\x16\x03\x01\x00"}, {smtp, "", "BDAT 9999999999 LAST\r\n"}, {smtp, "", strings.Repeat("NOOP\r\n", 60)},
	} {
		f.Add(s.door, []byte(s.head), []byte(s.in))
	}
}
