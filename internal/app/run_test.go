package app_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/sqlite"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/testkit"
)

const password = "a good horse"

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestServe(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.serve()
	if code, text := h.get("/healthz"); code != 200 || text != "alive 1.2.3-test\n" {
		t.Errorf("healthz: %d %q", code, text)
	}
	if code, text := h.get("/readyz"); code != 200 || text != "ready\n" {
		t.Errorf("readyz: %d %q", code, text)
	}
	if code, _ := h.get("/debug/pprof/"); code != 404 {
		t.Errorf("profiles are shown to everybody: %d", code)
	}
	h.dial(h.smtp).ehlo()
	h.dial(h.imap).line("* OK ")
	h.dial(h.pop).line("+OK ")
	code, text := h.get("/metrics")
	for _, name := range []string{"hayauma_db_commit_seconds", "hayauma_bodies_sync_seconds", "go_goroutines", "process_resident_memory_bytes", "hayauma_smtp", "hayauma_delivery_failures_total"} {
		if code != 200 || !strings.Contains(text, name) {
			t.Errorf("metrics: %d, without %s", code, name)
		}
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("errors are logged:\n%s", s.log)
	}
	s.stop()
	for _, addr := range []string{h.smtp, h.imap, h.pop, h.http} {
		if !refusing(t, addr) {
			t.Errorf("%s still accepts", addr)
		}
	}
}

func TestAdminSocketIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	s := h.serve()
	path := control.SocketPath(h.data)
	for file, want := range map[string]os.FileMode{path: os.ModeSocket | 0o600, h.data: os.ModeDir | 0o700} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has the mode %v, want %v", file, info.Mode(), want)
		}
	}
	s.stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// A server that was killed leaves its socket; the next one takes its place.
func TestDeadSocketIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.serve().stop()
	path := control.SocketPath(h.data)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		t.Fatalf("%T", l)
	}
	u.SetUnlinkOnClose(false)
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	h.serve()
	work(t, h)
}

// work makes calls that have to succeed, by whatever way there is.
func work(t *testing.T, h *home) {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Ask(t.Context(), client, control.DomainList, control.Empty{}); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

func TestSecondRunOnTheSameFolder(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.serve()
	other := newHome(t)
	other.data = h.data
	other.write("")
	got := other.fails()
	if !strings.Contains(got, db.ErrInUse.Error()) || !strings.Contains(got, h.data) {
		t.Errorf("the error is %q", got)
	}
	// The first is not disturbed.
	h.dial(h.smtp).ehlo()
	work(t, h)
}

func TestTakenPort(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", h.imap)
	if err != nil {
		t.Fatal(err)
	}
	got := h.fails()
	if !strings.Contains(got, "imap") || !strings.Contains(got, h.imap) || !strings.Contains(got, "is taken already") {
		t.Errorf("the error is %q", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h.serve() // what was open is given back
}

func TestUnwritableFolder(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if err := os.WriteFile(h.data, []byte("a file in the folder's place"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := h.fails(); !strings.Contains(got, h.data) {
		t.Errorf("the error is %q", got)
	}
	if _, err := app.Check(t.Context(), h.config()); err == nil || !strings.Contains(err.Error(), h.data+" is not a folder") {
		t.Errorf("check: %v", err)
	}
}

// TestCheckOfTheResolver: one that is to be believed is put to the proof.
func TestCheckOfTheResolver(t *testing.T) {
	t.Parallel()
	proof := config.DNS{TrustAD: true, ProofSigned: "good.test", ProofBogus: "bad.test"}
	for _, c := range []struct {
		name           string
		settings       config.DNS
		setup          func(*testkit.DNS)
		warning, fault string // what it has, empty = there is none
		asked          bool
	}{
		{"it checks", proof, func(d *testkit.DNS) { d.Prove("good.test"); d.Fail("bad.test", testkit.DNSServFail) }, "", "", true},
		{"it passes on what is wrong", proof, func(d *testkit.DNS) { d.Prove("good.test") },
			"", "dns.trust_ad: the resolver does not check DNSSEC, or does not tell: there is an answer for bad.test", true},
		{"it does not tell", proof, func(d *testkit.DNS) { d.Fail("bad.test", testkit.DNSServFail) }, "", "nothing is said of a name that is signed: good.test", true},
		{"there is no network", proof, func(d *testkit.DNS) { d.Fail("good.test", testkit.DNSServFail) }, "dns.trust_ad: no proof could be made", "", true},
		{"it is not believed", config.DNS{ProofSigned: "good.test", ProofBogus: "bad.test"}, func(*testkit.DNS) {}, "", "", false},
		{"no proof is wanted", config.DNS{TrustAD: true, ProofSigned: "good.test"}, func(*testkit.DNS) {}, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := testkit.StartDNS(t, "good.test. 60 A 10.0.0.1", "bad.test. 60 A 10.0.0.1")
			c.setup(d)
			cfg := newHome(t).config()
			cfg.DNS, cfg.DNS.Resolver = c.settings, d.Addr
			warnings, err := app.Check(t.Context(), cfg)
			said := strings.Join(warnings, "\n")
			if (c.warning == "") != (said == "") || !strings.Contains(said, c.warning) {
				t.Errorf("warnings %q", said)
			}
			if (c.fault == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("error %v", err)
			}
			if asked := len(d.Queries()) > 0; asked != c.asked {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.data = filepath.Join(h.dir, "not", "yet", "there")
	h.write("")
	if _, err := app.Check(t.Context(), h.config()); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(h.dir)
	if err != nil || len(left) != 1 {
		t.Errorf("check leaves %v, %v", left, err)
	}
	h.data = filepath.Join(h.file, "data") // below a file
	h.write("")
	if _, err := app.Check(t.Context(), h.config()); err == nil || !strings.HasPrefix(err.Error(), "data_dir: ") {
		t.Errorf("below a file: %v", err)
	}
	h.data = "/proc/hayauma" // nobody can make files there, root included
	h.write("")
	if _, err := app.Check(t.Context(), h.config()); err == nil || !strings.Contains(err.Error(), "nothing can be written in /proc") {
		t.Errorf("a folder that cannot be written: %v", err)
	}
}

// What stops the start after the database is open has its sentence, too, and
// gives everything back.
func TestUnusableBodies(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	bodies := filepath.Join(h.data, "bodies")
	if err := os.Mkdir(h.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bodies, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := h.fails(); !strings.Contains(got, bodies) {
		t.Errorf("the error is %q", got)
	}
	if _, _, err := app.Control(t.Context(), h.config(), quiet()); err == nil || !strings.Contains(err.Error(), bodies) {
		t.Errorf("the command line: %v", err)
	}
	if err := os.Remove(bodies); err != nil {
		t.Fatal(err)
	}
	h.serve()
}

// Sessions that wait for their next command hear that the server goes, and
// nobody waits for the end of the grace time.
func TestStopWithIdleSessions(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.write("[timeouts]\nshutdown_grace = \"25s\"\n[auth]\nallow_cleartext = true")
	s := h.serve()
	domain(t, h)
	idle := h.dial(h.imap)
	idle.line("* OK ")
	idle.say(`a LOGIN alice@hayauma.test "` + password + `"`)
	idle.line("a OK ")
	idle.say("b SELECT INBOX")
	for !strings.HasPrefix(idle.line(""), "b OK ") {
		continue
	}
	idle.say("c IDLE")
	idle.line("+ ")
	smtp, imap, pop, mute := h.dial(h.smtp), h.dial(h.imap), h.dial(h.pop), h.dial(h.http)
	smtp.ehlo()
	imap.line("* OK ")
	pop.line("+OK ")
	mute.say("GET /healthz HTTP/1.1") // and never the rest
	start := time.Now()
	s.cancel()
	smtp.line("421 4.3.2 ")
	smtp.over()
	imap.line("* BYE ")
	imap.over()
	idle.line("* BYE ")
	idle.over()
	pop.line("-ERR [SYS/TEMP] ")
	pop.over()
	s.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the end took %v though all were idle", took)
	}
	if got := s.log.String(); strings.Contains(got, "cut off") {
		t.Errorf("sessions were cut off:\n%s", got)
	}
}

// A transaction under way may finish within the grace time, not longer.
func TestStopInTheMiddleOfData(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.write("[timeouts]\nshutdown_grace = \"1s\"")
	s := h.serve()
	domain(t, h)
	c := h.dial(h.smtp)
	c.ehlo()
	c.say("MAIL FROM:<x@elsewhere.test>")
	c.line("250 ")
	c.say("RCPT TO:<alice@hayauma.test>")
	c.line("250 ")
	c.say("DATA")
	c.line("354 ")
	c.say("Subject: never finished")
	start := time.Now()
	s.stop()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the end took %v, the grace is a second", took)
	}
	h.serve()
	for _, a := range accounts(t, h) {
		if a.Messages != 0 {
			t.Errorf("half a message was filed: %+v", a)
		}
	}
}

// TestStopOfSessionsAndAttempts: both have the same grace, in which nothing more is handed
// out; what was accepted by then, and what was cut off, goes after the next start.
func TestStopOfSessionsAndAttempts(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	mx := testkit.StartMX(t, testkit.MXOptions{}, testkit.MXRule{Command: "END", Stall: true})
	_, port, _ := net.SplitHostPort(mx.Addr)
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A 127.0.0.1")
	const grace = 6 * time.Second
	more := fmt.Sprintf("[outbound]\nport = %s\n[timeouts]\nshutdown_grace = %q\n[queue]\nretry = [\"8h\"]\n", port, grace)
	h.put(strings.Replace(h.text(more), "127.0.0.1:9", dns.Addr, 1))
	s := h.serve()
	domain(t, h)
	letter(t, h)
	mx.WaitRefused(1, patience)
	c := h.dial(h.smtp)
	c.ehlo()
	for _, line := range []string{"MAIL FROM:<x@elsewhere.test>", "RCPT TO:<alice@hayauma.test>"} {
		c.say(line)
		c.line("250 ")
	}
	c.say("DATA")
	c.line("354 ")
	start := time.Now()
	s.cancel()
	testkit.Eventually(t, patience, "the stop", func() bool { return refusing(t, h.smtp) })
	letter(t, h)
	s.stop()
	if took := time.Since(start); took < grace || took > 2*grace-time.Second {
		t.Errorf("the end took %v, the grace is %v for all", took, grace)
	}
	if n := len(mx.Refused()); n != 1 {
		t.Errorf("%d messages went out, of which the second was accepted during the grace", n)
	}
	mx.SetRules()
	h.serve()
	mx.WaitMessages(2, patience)
}

// domain makes hayauma.test with alice.
func domain(t *testing.T, h *home) {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Ask(t.Context(), client, control.DomainAdd, control.DomainSettings{Domain: "hayauma.test"}); err != nil {
		t.Error(err)
	}
	login := control.AccountLogin{Address: "alice@hayauma.test", Password: password}
	if _, err := control.Ask(t.Context(), client, control.AccountAdd, login); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

func accounts(t *testing.T, h *home) []control.AccountInfo {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	list, err := control.Ask(t.Context(), client, control.AccountList, control.Empty{})
	if err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	return list
}

// The same calls on a stopped server, a running one and one stopped again see
// the same stores.
func TestControlOfStoppedAndRunning(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	domain(t, h) // stopped, and never started
	s := h.serve()
	submit(t, h, "while it runs")
	h.dial(h.smtp).ehlo()
	s.stop()
	submit(t, h, "while it rests")
	h.serve()
	list := accounts(t, h)
	if len(list) != 1 || list[0].Address != "alice@hayauma.test" || list[0].Messages != 2 {
		t.Errorf("accounts %+v", list)
	}
}

func submit(t *testing.T, h *home, subject string) {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	sent, err := control.Send(t.Context(), client, control.Outgoing{Recipients: []string{"alice@hayauma.test"},
		Message: strings.NewReader("Subject: " + subject + "\r\n\r\nHello\r\n")})
	if err != nil {
		t.Error(err)
	}
	lines, err := control.Ask(t.Context(), client, control.Trace, control.MessageName(sent))
	if err != nil || len(lines) != 1 || len(lines[0].Events) != 2 {
		t.Errorf("the trace of %q: %+v, %v", subject, lines, err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

// Two who work on the stores of a stopped server exclude each other.
func TestControlOfStoresInUse(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	_, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := app.Control(t.Context(), h.config(), quiet()); err == nil || !strings.Contains(err.Error(), db.ErrInUse.Error()) {
		t.Errorf("the second: %v", err)
	}
	if got := h.fails(); !strings.Contains(got, db.ErrInUse.Error()) {
		t.Errorf("a server: %s", got)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	h.serve()
}

func TestVerify(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	domain(t, h)
	submit(t, h, "sound")
	if faults, err := app.Verify(t.Context(), h.config(), quiet()); err != nil || len(faults) != 0 {
		t.Errorf("sound stores: %v, %v", faults, err)
	}
	h.serve()
	if faults, err := app.Verify(t.Context(), h.config(), quiet()); err != nil || len(faults) != 0 {
		t.Errorf("a running server: %v, %v", faults, err)
	}
}

// A store that takes no mail makes the server not ready, and it still lets its
// owner look at it and clean up.
func TestNotReadyWithoutSpace(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	domain(t, h)
	submit(t, h, "when there was room")
	h.write("[storage]\nmin_free = \"8000000GB\"")
	s := h.serve()
	if code, text := h.get("/readyz"); code != 503 || !strings.HasPrefix(text, "not ready: ") {
		t.Errorf("readyz: %d %q", code, text)
	}
	if code, _ := h.get("/healthz"); code != 200 {
		t.Errorf("healthz: %d", code)
	}
	if !strings.Contains(s.log.String(), `msg="not ready"`) {
		t.Errorf("the log does not say why:\n%s", s.log)
	}
	c := h.dial(h.smtp)
	c.ehlo()
	c.say("MAIL FROM:<x@elsewhere.test>")
	c.say("RCPT TO:<alice@hayauma.test>")
	c.say("DATA")
	var last string
	for range 3 {
		last = c.line("")
	}
	if strings.HasPrefix(last, "354 ") {
		c.say("Subject: no room\r\n\r\nHello\r\n.")
		last = c.line("")
	}
	if !strings.HasPrefix(last, "452 4.3.1 ") {
		t.Errorf("a full disk is answered %q", last)
	}
	if list := accounts(t, h); len(list) != 1 || list[0].Messages != 1 {
		t.Errorf("accounts %+v", list)
	}
}

// The clock went back between two runs: ids still grow.
func TestIDsGrowWhenTheClockWentBack(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	domain(t, h)
	future := mail.FirstID(time.Now().Add(1000 * time.Hour))
	h.sql(func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(`INSERT INTO event (id, message, tenant, account, at, kind, stream, recipient, detail)
			VALUES (?, ?, 0, 0, 0, 'filed', '', '', '{}')`), future+1, future)
		return err
	})
	h.serve()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	sent, err := control.Send(t.Context(), client, control.Outgoing{Recipients: []string{"alice@hayauma.test"}, Message: strings.NewReader("Subject: x\r\n\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := mail.ParseID(sent.Message); err != nil || id <= future+1 {
		t.Errorf("the next id %s is not larger than %v: %v", sent.Message, future+1, err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

// sql writes into the database of a stopped server.
func (h *home) sql(fn func(*db.Tx) error) {
	h.t.Helper()
	d, err := sqlite.Open(h.t.Context(), sqlite.Options{Path: filepath.Join(h.data, "hayauma.db"), Logger: quiet()})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := errors.Join(d.Write(h.t.Context(), fn), d.Close()); err != nil {
		h.t.Fatal(err)
	}
}

// On a full disk the queue of a killed server can be emptied, in each way that there is.
func TestControlOnAFullDisk(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	domain(t, h)
	h.write("[queue]\nhold = true")
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Send(t.Context(), client, control.Outgoing{Recipients: []string{"x@elsewhere.test"}, Message: strings.NewReader("Subject: x\r\n\r\n")}); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	h.sql(func(tx *db.Tx) error { // under way when its server was killed
		_, err := tx.Exec(db.SQL("UPDATE queue_recipient SET state = 2, owner = 1"))
		return err
	})
	h.write("[storage]\nmin_free = \"8000000GB\"")
	client, done, err = app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	_, err = control.Ask(t.Context(), client, control.DomainAdd, control.DomainSettings{Domain: "new.test"})
	if err == nil || !strings.Contains(err.Error(), "storage.min_free") || !strings.Contains(err.Error(), "let mail go") {
		t.Errorf("what adds something: %v", err)
	}
	letGo(t, client)
	for _, verb := range []control.Call[control.QueueFilter, control.Touched]{
		control.QueueHold, control.QueueRelease, control.QueueBounce, control.QueueDelete,
	} {
		touched, err := control.Ask(t.Context(), client, verb, control.QueueFilter{All: true})
		if err != nil || touched.Recipients != 1 {
			t.Errorf("%s: %+v, %v", verb.Name, touched, err)
		}
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

// On a full disk what is given up leaves the queue at once if nobody is to hear of it.
func TestSilentBounceOnAFullDisk(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	h.write("[queue]\nhold = true")
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Send(t.Context(), client, control.Outgoing{Recipients: []string{"x@elsewhere.test"}, Message: strings.NewReader("Subject: x\r\n\r\n")}); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	h.write("[storage]\nmin_free = \"8000000GB\"")
	h.serve()
	client, done, err = app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if touched, err := control.Ask(t.Context(), client, control.QueueBounce, control.QueueFilter{All: true}); err != nil || touched.Recipients != 1 {
		t.Errorf("given up %+v, %v", touched, err)
	}
	testkit.Eventually(t, patience, "an empty queue", func() bool {
		list, err := control.Ask(t.Context(), client, control.QueueList, control.QueueFilter{All: true})
		return err == nil && len(list) == 0
	})
	if err := done(); err != nil {
		t.Error(err)
	}
}

// letGo does what may let the mail of a queue go another way, or at another pace.
func letGo(t *testing.T, client *control.Client) {
	t.Helper()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := control.Ask(t.Context(), client, control.RouteSet, control.RouteChange{Route: route.Route{Name: "out", Kind: route.SMTP, TLS: "none", Hosts: []route.Host{{Name: "mx.elsewhere.test", Port: 25}}}})
	must("a route", err)
	moved, err := control.Ask(t.Context(), client, control.QueueReroute, control.QueueWay{QueueFilter: control.QueueFilter{All: true}, To: "out"})
	must("reroute", err)
	if moved.Recipients != 1 {
		t.Errorf("rerouted %+v", moved)
	}
	_, err = control.Ask(t.Context(), client, control.OutboundLimit, control.ProviderLimits{Provider: "elsewhere.test", Set: map[string]string{"rate": "1/s"}})
	must("a limit", err)
	_, err = control.Ask(t.Context(), client, control.DomainLimit, control.LimitChange{Name: "hayauma.test", Default: true, Set: map[string]int64{"messages_per_day": 5}})
	must("a sending limit", err)
	_, err = control.Ask(t.Context(), client, control.ScheduleSet, control.MailSchedule{MailName: control.MailName{For: "domain:elsewhere.test"}, Retry: "1m"})
	must("a schedule", err)
}
