package smtpd_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/ratelimit"
	"github.com/hayauma/hayauma/internal/returnpath"
	"github.com/hayauma/hayauma/internal/smtpd"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

// world is what stands around a server of the dialogs, and may change while one runs.
type world struct {
	recipients atomic.Int64          // that a message may have; 0 = as many as usual
	senders    atomic.Bool           // have to have a domain
	bodies     atomic.Pointer[error] // why none can be stored; nil = they can
}

// options are those of a stack in that world.
func (w *world) options(t testing.TB) stack.Options {
	dns := testkit.StartDNS(t, "null.test. 60 MX 0 .", "b.test. 60 MX 10 mx.b.test.")
	dns.Fail("broken.test", testkit.DNSServFail)
	return stack.Options{
		Senders: w.senders.Load, Resolver: dnsx.New(dnsx.Options{Server: dns.Addr, Timeout: time.Second}),
		ReturnPath: returnpath.Settings{Mode: returnpath.Unique},
		Messages: func(s *intake.Settings) {
			if n := w.recipients.Load(); n > 0 {
				s.Recipients = int(n)
			}
		},
		Blobs: func(s blob.Store) blob.Store { return failing{s.(blob.Settler), w} },
	}
}

// failing is a store whose bodies fail when the world says so.
type failing struct {
	blob.Settler
	w *world
}

func (f failing) Create() blob.Writer {
	if err := f.w.bodies.Load(); err != nil {
		return failed{f.Settler.Create(), *err}
	}
	return f.Settler.Create()
}

type failed struct {
	blob.Writer
	err error
}

func (f failed) Write([]byte) (int, error) { return 0, f.err }

// happen is the meaning of [do ...] in a dialog.
func (r *rig) happen(w *world, what string) error {
	ctx := r.t.Context()
	alice := r.Address("alice@hayauma.test")
	switch what {
	case "fill the disk":
		w.bodies.Store(new(blob.ErrFull))
	case "fill the memory":
		w.bodies.Store(new(ratelimit.ErrBudget))
	case "lose the database":
		return r.DB.Close()
	case "lose the certificate":
		r.options.TLS = nil
		r.server = smtpd.New(r.options)
	case "ban who fails to log in three times":
		r.Bans.SetLimit(3)
	case "offer scram":
		r.options.Gate = account.NewGate(account.GateOptions{
			Directory: r.Directory, Bans: r.Bans, SCRAM: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
		})
		r.server = smtpd.New(r.options)
	case "have others wait for memory":
		r.pressed.Store(true)
	case "shut down":
		r.stop()
	case "lose patience":
		r.change(func(s *smtpd.Settings) { s.CommandTimeout = 300 * time.Millisecond })
	case "greet late":
		r.change(func(s *smtpd.Settings) { s.GreetingDelay = 300 * time.Millisecond })
	case "verify addresses":
		r.change(func(s *smtpd.Settings) { s.Verify = true })
	case "look senders up":
		w.senders.Store(true)
	case "take two recipients":
		w.recipients.Store(2)
	case "remove alice":
		return r.Directory.RemoveAccount(ctx, alice)
	case "change the password of alice":
		return r.Directory.SetPassword(ctx, alice, "another good horse")
	case "refuse mail for bob and put off that for alice":
		return errors.Join(
			r.rule("bob", rule.Reject, "bob@hayauma.test"),
			r.rule("alice", rule.Defer, "alice@hayauma.test"))
	case "make a crowd":
		for i := range 3 {
			var targets []string
			for j := range 400 {
				targets = append(targets, fmt.Sprintf("x%d@elsewhere.test", 400*i+j))
			}
			r.Alias(fmt.Sprintf("part%d@hayauma.test", i), targets...)
			if i == 0 {
				r.Alias("crowd@hayauma.test", "part0@hayauma.test", "part1@hayauma.test", "part2@hayauma.test")
			}
		}
	case "allow alice two messages an hour":
		return r.Rates.SetLimits(ctx, rate.ForAccount(r.idOf(alice)), map[string]int64{"messages_per_hour": 2})
	case "have alice refused a lot":
		r.stopped(r.idOf(alice))
	default:
		return fmt.Errorf("nobody knows how to %s", what)
	}
	return nil
}

func (r *rig) rule(name string, action rule.Action, recipient string) error {
	_, err := r.Rules.Add(r.t.Context(), rule.Rule{Name: name, Action: action, Conditions: rule.Conditions{Recipients: []string{recipient}}}, rule.Place{})
	return err
}

func (r *rig) idOf(a mail.Address) mail.ID {
	acc, err := r.Directory.Find(r.t.Context(), a)
	if err != nil {
		r.t.Fatal(err)
	}
	return acc.ID
}

// stopped lets an account send far more than usual, and much of it be refused.
func (r *rig) stopped(id mail.ID) {
	r.served.Go(func() { r.Rates.Run(r.ctx) })
	for range 600 {
		r.Rates.Observe(id, true)
	}
	testkit.Eventually(r.t, 10*time.Second, "the account to be held", func() bool {
		holds, err := r.Rates.Holds(r.t.Context())
		return err == nil && len(holds) > 0
	})
}

// sent is a message of alice's to somebody elsewhere.
func (r *rig) sent() mail.ID {
	tx := r.Intake.Begin(mail.Origin{Door: mail.DoorCommand}, mail.Envelope{From: r.Address("alice@hayauma.test")})
	to := r.Address("x@elsewhere.test")
	target, fault := tx.Resolve(r.t.Context(), to)
	if fault == nil {
		fault = tx.Add(r.t.Context(), mail.Recipient{Address: to}, target)
	}
	_, _ = tx.Write([]byte("Subject: lunch\r\n\r\nHello\r\n")) // its fault is that of Commit
	if result := tx.Commit(r.t.Context()); fault != nil || result.Fault != nil {
		r.t.Fatal(fault, result.Fault)
	}
	return tx.ID()
}

// given are texts that are too long for a dialog, or made anew each time.
func (r *rig) given() map[string]string {
	path, _, err := r.Paths.From(r.t.Context(), r.sent(), r.Address("alice@hayauma.test"), mail.Address{})
	if err != nil {
		r.t.Fatal(err)
	}
	return map[string]string{
		"return path":  path.ASCII(),
		"13000 x":      strings.Repeat("x", 13_000),
		"1000 x":       strings.Repeat("x", 1000),
		"40000 fields": strings.Repeat("X: 012345678901234567890123456789\r\n", 40_000),
		"101 hosts":    strings.Repeat("Received: x\r\n", 101),
	}
}
