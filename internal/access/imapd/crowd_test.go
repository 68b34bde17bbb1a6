package imapd_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// mirror is a client that keeps in step with its mailbox as RFC 3501 §5.2 and
// §7.4.1 tell it to, and notices when the server does not.
type mirror struct {
	*client
	uids []uint32 // by sequence number; 0 = not heard yet
}

// do runs a command and takes in what it hears.
func (m *mirror) do(command string) (tagged string, err error) {
	m.tags++
	tag := fmt.Sprintf("t%d ", m.tags)
	if _, err := m.conn.Write([]byte(tag + command + "\r\n")); err != nil {
		return "", err
	}
	name, _, _ := strings.Cut(command, " ")
	still := slices.Contains([]string{"FETCH", "STORE", "SEARCH"}, name)
	for {
		line, err := m.next()
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(line, tag); ok {
			return rest, nil
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			continue
		}
		n, err := strconv.ParseUint(words[1], 10, 32)
		if err != nil {
			continue
		}
		if err := m.hear(uint32(n), words, still); err != nil {
			return "", fmt.Errorf("%s: %q: %w", command, line, err)
		}
	}
}

func (m *mirror) hear(n uint32, words []string, still bool) error {
	count := uint32(len(m.uids))
	switch words[2] {
	case "EXISTS":
		if n < count {
			return fmt.Errorf("there were %d", count)
		}
		m.uids = append(m.uids, make([]uint32, n-count)...)
	case "EXPUNGE":
		if n == 0 || n > count || still {
			return fmt.Errorf("there were %d", count)
		}
		m.uids = slices.Delete(m.uids, int(n)-1, int(n))
	case "FETCH":
		if n == 0 || n > count {
			return fmt.Errorf("there were %d", count)
		}
		if len(words) < 5 || words[3] != "(UID" {
			return nil
		}
		uid, err := strconv.ParseUint(strings.TrimRight(words[4], ")"), 10, 32)
		if err != nil {
			return err
		}
		if known := m.uids[n-1]; known != 0 && known != uint32(uid) {
			return fmt.Errorf("that was UID %d", known)
		}
		m.uids[n-1] = uint32(uid)
	}
	return nil
}

// any is a random command.
func (m *mirror) any(r *rand.Rand) string {
	seq := 1 + r.IntN(max(1, len(m.uids)))
	uid := 1 + r.IntN(60)
	commands := []string{
		"NOOP", "CHECK", "FETCH 1:* (UID FLAGS)", "UID FETCH 1:* (FLAGS)", "SEARCH UNDELETED", "EXPUNGE",
		"APPEND INBOX {5+}\r\nhello", "APPEND INBOX {5+}\r\nhello",
		fmt.Sprintf("STORE %d +FLAGS (\\Deleted)", seq), fmt.Sprintf("STORE %d FLAGS.SILENT ($k%d)", seq, uid%5),
		fmt.Sprintf("FETCH %d (UID BODY[])", seq), fmt.Sprintf("UID EXPUNGE %d:%d", uid, uid+3),
		fmt.Sprintf("COPY %d INBOX", seq), fmt.Sprintf("UID MOVE %d INBOX", uid), fmt.Sprintf("MOVE %d Archive", seq),
	}
	return commands[r.IntN(len(commands))]
}

// TestCrowd has sessions change one mailbox at once, each of which must be able
// to follow, and all of which must end with the same.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const sessions, steps = 4, 150
	w := newWorld(t)
	var crowd []*mirror
	for range sessions {
		crowd = append(crowd, &mirror{client: w.enter("INBOX")})
	}
	var wg sync.WaitGroup
	for i, m := range crowd {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for range steps {
				command := m.any(r)
				if tagged, err := m.do(command); err != nil || strings.HasPrefix(tagged, "NO [UNAVAILABLE]") {
					t.Errorf("session %d: %s: %s %v", i, command, tagged, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for i, m := range crowd {
		for _, command := range []string{"NOOP", "FETCH 1:* (UID)"} {
			if tagged, err := m.do(command); err != nil {
				t.Errorf("session %d: %s: %s %v", i, command, tagged, err)
			}
		}
		if !slices.Equal(m.uids, crowd[0].uids) {
			t.Errorf("session %d sees %v, session 0 sees %v", i, m.uids, crowd[0].uids)
		}
	}
}
