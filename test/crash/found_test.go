package crash

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
)

// found is what the server holds after all: how often each Message-ID is with each
// recipient.
type found struct {
	at             map[string]int // by "Message-ID recipient"
	copies, queued int

	sizes map[string]int
	sums  map[string][32]byte // of the messages of a run, without their numbers
}

// look reads all mailboxes over IMAP and the queue over the admin socket.
func look(t *testing.T, s *testkit.Server, admin *control.Client, imap string, sizes map[string]int) *found {
	t.Helper()
	f := &found{at: map[string]int{}, sizes: sizes, sums: map[string][32]byte{}}
	for n := range accounts {
		f.readMail(t, imap, account(n))
	}
	listed := f.readQueue(t, admin)
	if r := s.Hayauma("", "queue", "list", "--json", "--limit", "100000"); strings.Count(r.Stdout, `"recipient"`) != listed {
		t.Errorf("the command line lists %d recipients in the queue, the server %d", strings.Count(r.Stdout, `"recipient"`), listed)
	}
	return f
}

// readQueue counts what the queue holds and returns how many recipients it lists.
func (f *found) readQueue(t *testing.T, admin *control.Client) int {
	t.Helper()
	list, err := control.Ask(t.Context(), admin, control.QueueList, control.QueueFilter{All: true})
	if err != nil {
		t.Fatalf("queue list: %v", err)
	}
	ids := map[string]string{}
	for _, e := range list {
		if ids[e.Message] == "" {
			shown, err := control.Ask(t.Context(), admin, control.QueueShow, control.MessageName{Message: e.Message})
			if err != nil {
				t.Errorf("queue show %s: %v", e.Message, err)
				continue
			}
			ids[e.Message] = readback.Field([]byte(shown.Header), "Message-ID")
		}
		f.at[ids[e.Message]+" "+e.Recipient]++
		f.queued++
	}
	return len(list)
}

func (f *found) readMail(t *testing.T, imap, login string) {
	t.Helper()
	s, err := readback.DialIMAP(t.Context(), imap, "look", login, password)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := s.ReadAll()
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatalf("%s: %v", login, err)
	}
	for _, m := range messages {
		id, err := readback.Verify(m.Body)
		if errors.Is(err, readback.ErrForeign) {
			id, err = f.verifyLoad(m.Body)
		}
		if err != nil {
			t.Errorf("%s, %s, uid %d, %q: %v", login, m.Mailbox, m.UID, id, err)
		}
		f.at[id+" "+login]++
		f.copies++
	}
}

// verifyLoad checks a message of the load: it has the size of its run, and all
// messages of a run are alike but for their numbers.
func (f *found) verifyLoad(body []byte) (string, error) {
	id := readback.Field(body, "Message-ID")
	run, rest, _ := strings.Cut(strings.TrimPrefix(id, "<"), ".")
	at := bytes.Index(body, []byte("From: <")) // the first field that we did not add
	size := f.sizes[run]
	if at < 0 || size == 0 {
		return id, errors.New("not one of the messages that were sent")
	}
	sent := body[at:]
	if len(sent) != size {
		return id, fmt.Errorf("%w: %d octets, %d were sent", readback.ErrTorn, len(sent), size)
	}
	number, _, _ := strings.Cut(rest, "@")
	sum := sha256.Sum256(bytes.Replace(sent, []byte(number), []byte("number"), 1))
	first, known := f.sums[run]
	if !known {
		f.sums[run] = sum
	} else if first != sum {
		return id, readback.ErrTorn
	}
	return id, nil
}

// compare reports what is missing and what is there more than once.
func (f *found) compare(t *testing.T, got *confirmed) {
	t.Helper()
	var wrong []string
	for key, n := range f.at {
		if n > 1 {
			wrong = append(wrong, fmt.Sprintf("%d times: %s", n, key))
		}
	}
	for _, m := range got.messages {
		for _, r := range targets(m.Recipients) {
			if f.at[m.MessageID+" "+r] == 0 {
				wrong = append(wrong, fmt.Sprintf("missing: %s %s (%s)", m.MessageID, r, m.Reply))
			}
		}
	}
	for _, id := range got.appended {
		n := f.at[id+" "+account(0)]
		switch {
		case got.expunged[id] && n > 0:
			wrong = append(wrong, "still there after its expunge: "+id)
		case !got.unsure[id] && n == 0:
			wrong = append(wrong, "missing: appended "+id)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%d faults, the first:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 20)], "\n"))
	}
	if len(got.messages) == 0 || len(got.appended) == 0 {
		t.Error("the load confirmed nothing: this proved nothing")
	}
}

// targets is where the recipients of a message lead, none twice.
func targets(recipients []string) []string {
	var all []string
	for _, r := range recipients {
		if r == group {
			all = append(all, account(0), account(1), outside)
		} else {
			all = append(all, r)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
