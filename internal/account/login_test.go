package account_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	w.alias("info@e.test", "taro@e.test")
	for _, c := range []struct {
		name, login, password string
		want                  error
	}{
		{"right", "taro@e.test", password, nil},
		{"right again, from the cache", "taro@e.test", password, nil},
		{"right in another case", "TARO@E.TEST", password, nil},
		{"wrong password", "taro@e.test", "yama to umi", account.ErrCredentials},
		{"wrong case of the password", "taro@e.test", strings.ToUpper(password), account.ErrCredentials},
		{"no password", "taro@e.test", "", account.ErrCredentials},
		{"huge password", "taro@e.test", strings.Repeat("x", 1<<20), account.ErrCredentials},
		{"no such user", "jiro@e.test", password, account.ErrCredentials},
		{"no such domain", "taro@away.test", password, account.ErrCredentials},
		{"an alias", "info@e.test", password, account.ErrCredentials},
		{"a tag", "taro+x@e.test", password, account.ErrCredentials},
		{"no address", "taro", password, account.ErrCredentials},
		{"nothing", "", "", account.ErrCredentials},
	} {
		got, err := w.Authenticate(t.Context(), c.login, c.password)
		if !errors.Is(err, c.want) || err == nil && got.ID != taro.ID || err != nil && got.ID != 0 {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	w.must(w.SetPassword(t.Context(), taro.Address, "a new password"))
	if _, err := w.Authenticate(t.Context(), "taro@e.test", password); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if _, err := w.Authenticate(t.Context(), "taro@e.test", "a new password"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	w.must(w.RemoveAccount(t.Context(), taro.Address))
	if _, err := w.Authenticate(t.Context(), "taro@e.test", "a new password"); !errors.Is(err, account.ErrCredentials) {
		t.Errorf("a removed account: %v", err)
	}
}

// Whether there is a user must not show in the time: an unknown one costs a hash as
// well. A hash takes a memory of its own, which tells of it whatever else the machine
// has to do.
func TestUnknownUsersCostAHash(t *testing.T) { //nolint:paralleltest // it measures the process
	const hash = 19 << 20 // octets
	w := newWorld(t, "e.test")
	w.account("taro@e.test")
	took := func(login, password string) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := w.Authenticate(t.Context(), login, password)
		runtime.ReadMemStats(&after)
		if err != nil && !errors.Is(err, account.ErrCredentials) {
			t.Fatal(err)
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	took("taro@e.test", password)
	if cached := took("taro@e.test", password); cached > hash/4 {
		t.Errorf("a password that was right a moment ago costs %d octets: a hash does not show", cached)
	}
	for _, login := range []string{"taro@e.test", "jiro@e.test", "taro@away.test", "no address at all", ""} {
		for password, hashes := range map[string]uint64{
			"a wrong one": 1, "": 1, strings.Repeat("x", 1<<12): 1, "caf\u00e9 au lait": 1, "a bell\a": 1,
			"cafe\u0301 au lait": 2, // as it came, and prepared
		} {
			if n := took(login, password); n < hashes*hash || n > hashes*hash+hash/4 {
				t.Errorf("%q with a password of %d octets costs %d, and one hash %d", login, len(password), n, hash)
			}
		}
	}
}

func TestLoginsWaitForAPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	results := make(chan error)
	for range 6 {
		go func() {
			a, err := w.Authenticate(t.Context(), "taro@e.test", password)
			if err == nil && a.ID != taro.ID {
				err = errors.New("another account")
			}
			results <- err
		}()
	}
	for range 6 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Authenticate(ctx, "taro@e.test", "wrong, so not cached"); err == nil {
		t.Error("a login without a wish to wait")
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	bans := w.bans(3)
	var out strings.Builder
	gate := account.NewGate(account.GateOptions{Directory: w.Directory, Bans: bans, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	try := func(peer, password string) error {
		a := account.Attempt{Door: "imap", User: "taro@e.test", Password: password}
		if peer != "" {
			a.Peer = netip.MustParseAddr(peer)
		}
		got, err := gate.Login(t.Context(), a)
		if err == nil && got.ID != taro.ID {
			t.Errorf("another account: %+v", got)
		}
		return err
	}
	for range 3 {
		if err := try("192.0.2.1", "wrong one"); !errors.Is(err, account.ErrCredentials) {
			t.Errorf("a failure: %v", err)
		}
	}
	err := try("192.0.2.1", password)
	if banned, ok := errors.AsType[*account.TooManyFailures](err); !ok || time.Until(banned.Until).Round(time.Minute) != 10*time.Minute ||
		err.Error() != "Too many failed logins from your network, try again in about 10 minutes" {
		t.Errorf("the right password from a blocked address: %v", err)
	}
	if err := try("192.0.2.2", password); err != nil {
		t.Errorf("from elsewhere: %v", err)
	}
	for range 5 { // a unix socket has no address to count
		if err := try("", "wrong one"); !errors.Is(err, account.ErrCredentials) {
			t.Errorf("without address: %v", err)
		}
	}
	bans.SetLimit(0)
	if err := try("192.0.2.1", password); err != nil {
		t.Errorf("with the limit lifted: %v", err)
	}
	if log := out.String(); !strings.Contains(log, "login failed") || strings.Contains(log, "wrong one") {
		t.Errorf("log:\n%s", log)
	}
}

// errBanned stands for any *account.TooManyFailures.
var errBanned = errors.New("too many failures")

// Guesses at the same moment are no more than guesses in turn, and many right
// logins from one address at the same moment all pass.
func TestGateCountsAttemptsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	w.account("taro@e.test")
	const limit, peers = 3, 20
	gate := account.NewGate(account.GateOptions{Directory: w.Directory, Bans: w.bans(limit), Logger: slog.New(slog.DiscardHandler)})
	outcomes := func(peer, password string) map[error]int {
		results := make(chan error)
		for range peers {
			go func() {
				_, err := gate.Login(t.Context(), account.Attempt{Door: "imap", Peer: netip.MustParseAddr(peer), User: "taro@e.test", Password: password})
				results <- err
			}()
		}
		n := map[error]int{}
		for range peers {
			err := <-results
			if _, banned := errors.AsType[*account.TooManyFailures](err); banned {
				err = errBanned
			}
			n[err]++
		}
		return n
	}
	if n := outcomes("192.0.2.1", "wrong one"); n[account.ErrCredentials] != limit || n[errBanned] != peers-limit {
		t.Errorf("wrong: %v", n)
	}
	if n := outcomes("192.0.2.2", password); n[nil] != peers {
		t.Errorf("right: %v", n)
	}
}

// Whoever lets SCRAM's challenge stand has failed after a while, and keeps others from a
// name no longer.
func TestNoAnswerToTheChallenge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := worldOn(t, dbtest.NewEmbedded(t, account.Schema(), ban.Schema()), "e.test")
		w.account(taro)
		var failed atomic.Int32
		gate := account.NewGate(account.GateOptions{
			Directory: w.Directory, Bans: w.bans(20), SCRAM: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
			Failed: func(account.Failure) { failed.Add(1) },
		})
		a := account.Attempt{Door: "imap", Peer: netip.MustParseAddr("192.0.2.1"), User: taro, Password: password}
		login := func(most time.Duration) {
			t.Helper()
			began := time.Now()
			_, err := gate.Login(t.Context(), a)
			if took := time.Since(began); err != nil || took > most {
				t.Errorf("%v, after %v", err, took)
			}
		}
		login(0)
		const silent = 3
		var last *account.Exchange
		for range silent {
			last, _ = gate.Begin(t.Context(), a, "SCRAM-SHA-256")
			_, _, err := last.Next(t.Context(), []byte("n,,n="+taro+",r=abc"))
			w.must(err)
		}
		login(30 * time.Second)
		for range 2 {
			if _, done, err := last.Next(t.Context(), []byte("c=biws,r=abc,p=AAAA")); err == nil || done || errors.Is(err, account.ErrCredentials) || sasl.IsFault(err) {
				t.Errorf("an answer that comes late: %v, %v", done, err)
			}
		}
		last.End(t.Context())
		if n := failed.Load(); n != silent {
			t.Errorf("%d failures", n)
		}
	})
}
