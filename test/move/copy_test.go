package move

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/crash/readback"
)

// TestCopy moves a server with its mail, queue and accounts to other engines and
// back. The copy is killed on its way, and nothing that can be seen over the
// server's own protocols changes.
//
// HAYAUMA_COPY sets the number of messages; 100000 is the full size.
func TestCopy(t *testing.T) {
	t.Parallel()
	size, seed := newScale(t), uint64(number(t, "HAYAUMA_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("seed %d (HAYAUMA_SEED repeats the moments of the kills)", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	a := install(t, newPorts(t), "A", "")
	a.serve(t)
	traces := fill(t, a, size)
	a.stop(t)
	a.serve(t) // what it shows is what is stored
	before := look(t, a, size, traces)
	a.stop(t)
	for _, there := range targets() {
		t.Run(there.name, func(t *testing.T) {
			engines, inUse := there.start(t)
			b := install(t, a.ports, "B", engines)
			a.moveTo(t, b, cuts(rng, size))
			inUse(t)
			b.serve(t)
			same(t, "after the way there", before, look(t, b, size, traces))
			next := before.uidNext(t, account(0), "INBOX")
			receive(t, b, "<first@proof.test>", 4000, next)
			receive(t, b, "<second@proof.test>", largeSize, next+1)
			grown := look(t, b, size, traces)
			b.stop(t)
			b.checkDeep(t)

			c := install(t, a.ports, "C", "")
			moments := cuts(rng, size)
			which := rng.IntN(len(moments) - 1)
			b.moveTo(t, c, moments[which:which+1])
			c.serve(t)
			same(t, "after the way back", grown, look(t, c, size, traces))
			receive(t, c, "<third@proof.test>", 4000, next+2)
			c.stop(t)
			c.checkDeep(t)
		})
	}
	a.serve(t) // the old server is still there for whoever changes their mind
	same(t, "in the source", before, look(t, a, size, traces))
	a.stop(t)
	a.checkDeep(t)
}

// receive sends a message to account 0 and reads it under the UID that is due.
func receive(t *testing.T, in *installation, id string, size, uid int) {
	t.Helper()
	if err := send(t, in, id, size); err != nil {
		t.Fatalf("%s: send: %v", in.name, err)
	}
	s, err := readback.DialIMAP(t.Context(), in.imap, "r", account(0), passwordOf(0))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, _, err := s.Do("EXAMINE INBOX"); err != nil {
		t.Fatal(err)
	}
	_, lines, err := s.Do(fmt.Sprintf("UID FETCH %d (UID BODY.PEEK[])", uid))
	if err != nil || len(lines) != 1 || len(lines[0].Literals) != 1 {
		t.Fatalf("%s: the new message is not there as UID %d: %d lines, %v", in.name, uid, len(lines), err)
	}
	if got, err := readback.Verify(lines[0].Literals[0]); err != nil || got != id {
		t.Errorf("%s: UID %d is %s, want %s: %v", in.name, uid, got, id, err)
	}
}

func send(t *testing.T, in *installation, id string, size int) (err error) {
	t.Helper()
	s, err := readback.DialSMTP(t.Context(), in.smtp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	const from = "somebody@elsewhere.test"
	_, err = s.Send(from, []string{account(0), account(1)}, readback.Compose(id, from, size))
	return err
}
