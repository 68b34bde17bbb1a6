package move

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// picture is all that can be seen of a server from outside, in sections of lines.
// Of bodies it holds digests.
type picture map[string][]string

const lookers = 4

// look takes the picture of a running server.
func look(t *testing.T, in *installation, size scale, traces []string) picture {
	t.Helper()
	began := time.Now()
	p := picture{}
	for _, args := range [][]string{
		{"domain", "list"}, {"account", "list"}, {"alias", "list"}, {"queue", "list", "--limit", "100000"},
	} {
		p[strings.Join(args[:2], " ")] = items(t, in.run(t, "", append(args, "--json")...))
	}
	for _, id := range traces {
		p["trace "+id] = items(t, in.run(t, "", "trace", id, "--json"))
	}
	if n := len(p["queue list"]); n < size.queued+lateCount {
		t.Errorf("%s: %d recipients in the queue, want %d at least", in.name, n, size.queued+lateCount)
	}
	p.readAccounts(t, in, size.accounts)
	messages := 0
	for name, lines := range p {
		if strings.Contains(name, "mailbox ") {
			messages += count(lines, "* ", " FETCH ")
		}
	}
	if messages < size.messages {
		t.Errorf("%s: %d messages seen, %d were delivered", in.name, messages, size.messages)
	}
	t.Logf("%s: looked at %d messages in mailboxes and %d recipients in the queue, %v", in.name, messages, len(p["queue list"]), since(began))
	return p
}

func count(lines []string, prefix, part string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) && strings.Contains(l, part) {
			n++
		}
	}
	return n
}

// items is a JSON list line by line.
func items(t *testing.T, text string) (lines []string) {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatalf("%v in %.200q", err, text)
	}
	for _, item := range list {
		lines = append(lines, strings.Join(strings.Fields(string(item)), " "))
	}
	if len(lines) == 0 {
		t.Error("an empty list proves nothing")
	}
	return lines
}

// readAccounts logs in to every account, over POP3 and over IMAP.
func (p picture) readAccounts(t *testing.T, in *installation, accounts int) {
	t.Helper()
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	next := make(chan int)
	for range lookers {
		wg.Go(func() {
			for n := range next {
				login := account(n)
				add := func(section string, lines ...string) {
					mu.Lock()
					defer mu.Unlock()
					p[login+" "+section] = append(p[login+" "+section], lines...)
				}
				ids, err := readPOP3(t.Context(), in.pop3, login, passwordOf(n))
				add("POP3", ids...)
				if err == nil {
					err = readIMAP(t.Context(), in.imap, login, passwordOf(n), add)
				}
				if err != nil {
					mu.Lock()
					failed = errors.Join(failed, fmt.Errorf("%s: %w", login, err))
					mu.Unlock()
				}
			}
		})
	}
	for n := range accounts {
		next <- n
	}
	close(next)
	wg.Wait()
	if failed != nil {
		t.Fatalf("%s: %v", in.name, failed)
	}
}

// same fails the test where two pictures differ.
func same(t *testing.T, where string, want, got picture) {
	t.Helper()
	const shown = 20
	var wrong []string
	names := maps.Clone(want)
	maps.Copy(names, got)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, b := want[name], got[name]
		for i := range max(len(a), len(b)) {
			if i < len(a) && i < len(b) && a[i] == b[i] {
				continue
			}
			wrong = append(wrong, fmt.Sprintf("%s\n\twas %s\n\tis  %s", name, at(a, i), at(b, i)))
		}
	}
	if len(wrong) > 0 {
		t.Errorf("%s: %d differences, the first:\n%s", where, len(wrong), strings.Join(wrong[:min(shown, len(wrong))], "\n"))
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// uidNext is the UID that the next message in a mailbox gets.
func (p picture) uidNext(t *testing.T, login, mailbox string) int {
	t.Helper()
	for _, l := range p[login+" mailbox "+mailbox] {
		if n, err := fieldOf(l, "[UIDNEXT"); err == nil {
			return n
		}
	}
	t.Fatalf("the picture has no UIDNEXT of %s of %s", mailbox, login)
	return 0
}
