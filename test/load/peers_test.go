package load

import (
	"os"
	"testing"
)

// needs skips where a peer cannot run; CI must have them all.
func needs(t *testing.T, missing string) {
	t.Helper()
	switch {
	case missing == "":
	case os.Getenv("CI") == "true":
		t.Fatal("CI lacks a peer: " + missing)
	default:
		t.Skip("peer: " + missing)
	}
}

// peerDir can be entered by the users that peers run under; t.TempDir cannot.
func peerDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "load-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// smallBench has loads that take no time.
func smallBench() *bench {
	return &bench{benchConfig: benchConfig{source: Source{Conns: 4, PerConn: 5, Size: 1024}, messages: 30}}
}

func TestDovecotTakesAndServes(t *testing.T) {
	t.Parallel()
	needs(t, dovecotMissing())
	d, err := startDovecot(t.Context(), peerDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	src := Source{Addr: d.lmtp, LMTP: true, Conns: 3, Messages: 30, Mailboxes: 5, Rcpts: 2, Domain: localDomain, Pipeline: true}
	res, err := src.Send(t.Context())
	if err != nil || res.Messages != 30 || res.Recipients != 60 {
		t.Fatalf("%+v, %v", res, err)
	}
	if err := d.settle(t.Context(), 60); err != nil {
		t.Fatal(err)
	}
	r := &Reader{Addr: d.imap, Mailboxes: 5, Password: dovecotPassword, Sessions: 5}
	if n, err := r.CountIMAP(t.Context()); err != nil || n != 60 {
		t.Errorf("count %d, %v", n, err)
	}
	if res, err := r.ReadIMAP(t.Context()); err != nil || len(res.Errors) > 0 || res.Messages != 60 || res.Bytes < 60*5120 {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := r.LogIn(t.Context()); err != nil || len(res.Errors) > 0 || res.Sessions != 5 {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := r.HoldIdle(t.Context(), func() error { return nil }); err != nil || len(res.Errors) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestPostfixRelayRow(t *testing.T) {
	t.Parallel()
	needs(t, postfixMissing())
	for _, r := range relayings() {
		if r.calls {
			continue // strace needs more than a test should ask for
		}
		res, err := smallBench().postfixRelay(t.Context(), peerDir(t), r)
		if err != nil {
			t.Fatalf("relay%s: %v", r.suffix, err)
		}
		if res.Messages != 30 || res.Failed != 0 || res.Usage.Processes < 3 {
			t.Errorf("relay%s: %+v", r.suffix, res)
		}
	}
}

func TestPostfixAcceptRows(t *testing.T) {
	t.Parallel()
	needs(t, postfixMissing())
	for _, a := range acceptances() {
		if a.theirs == 0 || a.suffix == "-200" {
			continue // only ours has that row; too many processes for a test
		}
		res, err := smallBench().postfixAccept(t.Context(), peerDir(t), a)
		if err != nil || res.Messages != 30 || res.Failed != 0 {
			t.Errorf("accept%s: %+v, %v", a.suffix, res, err)
		}
	}
	res, err := smallBench().smtpSink(t.Context(), peerDir(t), relaying{})
	if err != nil || res.Messages != 30 || res.Usage.Processes != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestRowsAreChosenByWord(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		only string
		want int
	}{{"", 42}, {"ceiling", 1}, {"hayauma-accept", 1}, {"hayauma", 22}, {"relay-, ceiling", 7}, {"nothing", 0}} {
		b := smallBench()
		b.only = tc.only
		if got := b.chosenRows(); len(got) != tc.want {
			t.Errorf("-only %q: %d rows, want %d", tc.only, len(got), tc.want)
		}
	}
}
