package power_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
)

const (
	domain   = "local.test"
	password = "a-password-for-proofs"
	sender   = "u0@" + domain
)

// users are few because each replay has to log in as each of them.
func users() []string { return []string{"u0@" + domain, "u1@" + domain} }

const config = `hostname = "mx.local.test"
data_dir = "data"
[listen]
smtp = [%s]
imap = [%q]
submission = []
submissions = []
imaps = []
pop3 = []
pop3s = []
http = []
[auth]
allow_cleartext = true
[dns]
resolver = %q
[outbound]
port = %s
[relay]
networks = ["127.0.0.0/8"]
[limits]
connections_per_address = 0
login_failures_per_address = 0
message_size = "5MB"
[queue]
retry = ["1h"]
delay_notice = "0s"
[log]
level = %q
[storage]
min_free = "1MB"
`

// promise is what holds behind the acknowledgement that a peer was given: a part
// of a reply that appears once in the record. It ends, if until is set, with
// another one.
type promise struct {
	from, until string
	what        string
	holds       func(*found) bool
}

// work is the load and what the server has promised for it.
type work struct {
	smtp, imap string
	round      int

	mu       sync.Mutex
	promises []promise
	failures []error
}

func (w *work) promise(p ...promise) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.promises = append(w.promises, p...)
}

func (w *work) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, err)
}

// The first round is the longer one; the second begins with a recovery.
const (
	senders       = 4
	perSender     = 52 // messages
	perSender2    = 12
	appends       = 32
	appends2      = 12
	largeMessage  = 1200 << 10
	domainTaken   = "ok.test"    // its host takes every message
	domainLater   = "later.test" // says that it cannot now
	domainRefused = "never.test" // refuses
)

// run does the work of a round and returns when every answer is there.
func (w *work) run(ctx context.Context, seed uint64) error {
	w.round++
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			if err := w.send(ctx, n, rand.New(rand.NewPCG(seed+uint64(w.round), uint64(n)))); err != nil {
				w.fail(fmt.Errorf("sender %d: %w", n, err))
			}
		})
	}
	for n, user := range users() {
		wg.Go(func() {
			if err := w.keepMailbox(ctx, n, user); err != nil {
				w.fail(fmt.Errorf("reader %d: %w", n, err))
			}
		})
	}
	wg.Wait()
	return errors.Join(w.failures...)
}

// route is one set of recipients.
func route(rng *rand.Rand) []string {
	u := users()
	switch rng.IntN(10) {
	case 0, 1:
		return u[:1]
	case 2, 3:
		return u[1:]
	case 4:
		return u
	case 5:
		return []string{"x@" + domainTaken}
	case 6:
		return []string{"x@" + domainLater}
	case 7:
		return []string{"x@" + domainRefused}
	case 8:
		return []string{u[0], "x@" + domainLater, "y@" + domainLater}
	default:
		return []string{u[1], "x@" + domainTaken, "x@" + domainLater}
	}
}

func (w *work) send(ctx context.Context, n int, rng *rand.Rand) error {
	s, err := readback.DialSMTP(ctx, w.smtp)
	if err != nil {
		return err
	}
	for i := range []int{perSender, perSender2}[w.round-1] {
		size := 600 + rng.IntN(9000)
		switch {
		case i%15 == 7:
			size = largeMessage
		case i%10 == 4:
			size = 60_000 + rng.IntN(60_000)
		}
		id := fmt.Sprintf("<s%d.%d.%d@proof.test>", w.round, n, i)
		to := route(rng)
		reply, err := s.Send(sender, to, readback.Compose(id, sender, size))
		if err != nil {
			return err
		}
		_, accepted, ok := strings.Cut(reply, "Accepted as ")
		if !ok {
			return fmt.Errorf("the reply %q names no id", reply)
		}
		w.accepted(accepted, id, to)
	}
	return s.Close()
}

// accepted notes what a 250 promises for each recipient.
func (w *work) accepted(accepted, id string, to []string) {
	ack := "Accepted as " + accepted
	for _, r := range to {
		p := promise{from: ack, what: id + " for " + r}
		queued := func(f *found) bool { return f.queue[accepted+" "+r] == 1 }
		switch at := r[strings.IndexByte(r, '@')+1:]; at {
		case domain:
			p.holds = func(f *found) bool { return len(f.mail[r][id]) == 1 }
		case domainLater:
			p.holds = queued
		case domainTaken:
			p.holds = func(f *found) bool { return f.relayed(accepted, id, r) }
		default:
			p.holds = func(f *found) bool { return f.bounced(sender, id) == 1 }
		}
		w.promise(p)
	}
}

// keepMailbox appends messages, flags some and expunges some.
func (w *work) keepMailbox(ctx context.Context, n int, user string) error {
	s, err := readback.DialIMAP(ctx, w.imap, fmt.Sprintf("reader%d%dx", w.round, n), user, password)
	if err != nil {
		return err
	}
	for i := range []int{appends, appends2}[w.round-1] {
		size := 700 + 900*i
		if i == appends2/2 {
			size = largeMessage
		}
		id := fmt.Sprintf("<a%d.%d.%d@proof.test>", w.round, n, i)
		tag, err := s.Append("Archive", readback.Compose(id, user, size))
		if err != nil {
			return err
		}
		there := promise{from: tag + " OK", what: "append of " + id, holds: func(f *found) bool { return len(f.mail[user][id]) == 1 }}
		switch {
		case i%4 == 1:
			err = w.flag(s, user, id)
		case i%4 == 3:
			there.until, err = w.expunge(s, user, id)
		case i%8 == 4:
			err = w.move(s, user, id)
		}
		if err != nil {
			return err
		}
		w.promise(there)
	}
	_, _, err = s.Do("LOGOUT")
	return errors.Join(err, s.Close())
}

// flag sets a flag on the newest message of Archive.
func (w *work) flag(s *readback.IMAP, user, id string) error {
	if _, _, err := s.Do("SELECT Archive"); err != nil {
		return err
	}
	tag, _, err := s.Do(`STORE * +FLAGS.SILENT (\Flagged)`)
	w.promise(promise{from: tag + " OK", what: "flag of " + id, holds: func(f *found) bool {
		m := f.mail[user][id]
		return len(m) == 1 && m[0].Flagged(`\Flagged`)
	}})
	return err
}

// expunge removes the newest message of Archive and returns the reply up to which
// it has to be there.
func (w *work) expunge(s *readback.IMAP, user, id string) (last string, err error) {
	if _, _, err := s.Do("SELECT Archive"); err != nil {
		return "", err
	}
	tag, _, err := s.Do(`STORE * +FLAGS.SILENT (\Deleted)`)
	if err != nil {
		return "", err
	}
	last = tag + " OK"
	tag, _, err = s.Do("EXPUNGE")
	w.promise(promise{from: tag + " OK", what: "expunge of " + id, holds: func(f *found) bool { return len(f.mail[user][id]) == 0 }})
	return last, err
}

// move takes the newest message of Archive to Trash.
func (w *work) move(s *readback.IMAP, user, id string) error {
	if _, _, err := s.Do("SELECT Archive"); err != nil {
		return err
	}
	tag, _, err := s.Do("MOVE * Trash")
	w.promise(promise{from: tag + " OK", what: "move of " + id, holds: func(f *found) bool {
		m := f.mail[user][id]
		return len(m) == 1 && m[0].Mailbox == "Trash"
	}})
	return err
}

// worldPatience is for the relaying that goes on behind the last 250.
const worldPatience = 30 * time.Second

// startWorld makes the hosts that the server relays to. A slow one takes its time
// before it answers for a message.
func startWorld(t *testing.T, slow time.Duration) (mx *testkit.MX, dns *testkit.DNS, port string) {
	t.Helper()
	mx = testkit.StartMX(t, testkit.MXOptions{},
		testkit.MXRule{Command: "RCPT", Contains: domainLater, Reply: "451 4.3.0 later"},
		testkit.MXRule{Command: "RCPT", Contains: domainRefused, Reply: "550 5.1.1 nobody here"},
		testkit.MXRule{Command: "DATA", Delay: slow}, testkit.MXRule{Command: "END", Delay: slow})
	_, port, err := net.SplitHostPort(mx.Addr)
	if err != nil {
		t.Fatal(err)
	}
	dns = testkit.StartDNS(t,
		"ok.test. 60 MX 10 mx.world.test.", "later.test. 60 MX 10 mx.world.test.",
		"never.test. 60 MX 10 mx.world.test.", "mx.world.test. 60 A 127.0.0.1")
	return mx, dns, port
}
