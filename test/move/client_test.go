package move

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/test/crash/readback"
)

// Bounds of one FETCH of bodies.
const (
	fetchMessages = 200
	fetchOctets   = 8 << 20
)

// readPOP3 lists the unique ids that a POP3 client keeps.
func readPOP3(ctx context.Context, addr, login, password string) (lines []string, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(settle)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	for _, command := range []string{"", "USER " + login, "PASS " + password, "STAT", "UIDL"} {
		if command != "" {
			if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
				return nil, err
			}
		}
		answer, err := in.ReadString('\n')
		if err != nil || !strings.HasPrefix(answer, "+OK") {
			return nil, fmt.Errorf("POP3 %.4s: %q, %w", command, answer, err)
		}
		if command == "STAT" {
			lines = append(lines, strings.TrimSpace(answer))
		}
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSpace(line); line == "." {
			break
		}
		lines = append(lines, line)
	}
	if _, err := io.WriteString(conn, "QUIT\r\n"); err != nil {
		return nil, err
	}
	_, err = in.ReadString('\n')
	return lines, err
}

// readIMAP gives everything that an IMAP client sees of an account to add, in
// sections. EXAMINE leaves it as it is.
func readIMAP(ctx context.Context, addr, login, password string, add func(section string, lines ...string)) (err error) {
	s, err := readback.DialIMAP(ctx, addr, "p", login, password)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var names []string
	for _, command := range []string{`LIST "" "*"`, `LSUB "" "*"`} {
		_, lines, err := s.Do(command)
		if err != nil {
			return err
		}
		for _, l := range lines {
			add("mailboxes", l.Text)
			rest, listed := strings.CutPrefix(l.Text, "* LIST ")
			if _, name, cut := strings.Cut(rest, `"/" `); listed && cut && !strings.Contains(rest, `\Noselect`) {
				names = append(names, strings.Trim(name, `"`))
			}
		}
	}
	for _, name := range names {
		if err := readMailbox(s, name, func(lines ...string) { add("mailbox "+name, lines...) }); err != nil {
			return fmt.Errorf("mailbox %s: %w", name, err)
		}
	}
	return nil
}

// readMailbox tells of a mailbox and then of each message in it: what is known of
// it, the SHA-256 of its body, and that of what was found in it.
func readMailbox(s *readback.IMAP, name string, add func(...string)) error {
	_, lines, err := s.Do(fmt.Sprintf("EXAMINE %q", name))
	if err != nil {
		return err
	}
	exists := 0
	for _, l := range lines {
		add(l.Text)
		if n, ok := strings.CutSuffix(l.Text, " EXISTS"); ok {
			if exists, err = strconv.Atoi(strings.TrimPrefix(n, "* ")); err != nil {
				return err
			}
		}
	}
	if exists == 0 {
		return nil
	}
	known, err := fetch(s, "1:* (UID FLAGS INTERNALDATE RFC822.SIZE)", exists, add)
	if err != nil {
		return err
	}
	sizes := make([]int, exists)
	for i, l := range known {
		if sizes[i], err = fieldOf(l.Text, "RFC822.SIZE"); err != nil {
			return err
		}
	}
	for first := 0; first < exists; {
		next, octets := first, 0
		for next < exists && next-first < fetchMessages && (next == first || octets+sizes[next] <= fetchOctets) {
			octets += sizes[next]
			next++
		}
		if err := readBodies(s, known, sizes, first, next, add); err != nil {
			return err
		}
		first = next
	}
	return nil
}

// readBodies reads the messages [first, next), counted from 0.
func readBodies(s *readback.IMAP, known []readback.Line, sizes []int, first, next int, add func(...string)) error {
	bodies, err := fetch(s, fmt.Sprintf("%d:%d (ENVELOPE BODYSTRUCTURE BODY.PEEK[])", first+1, next), next-first, add)
	if err != nil {
		return err
	}
	for i, l := range bodies {
		n := len(l.Literals)
		if n == 0 || len(l.Literals[n-1]) != sizes[first+i] {
			return fmt.Errorf("message %d is not as long as its RFC822.SIZE says, %d octets", first+i+1, sizes[first+i])
		}
		found := sha256.New()
		_, _ = io.WriteString(found, l.Text) // a hash never fails
		for _, literal := range l.Literals[:n-1] {
			_, _ = found.Write(literal)
		}
		add(fmt.Sprintf("%s body %x found %.8x", known[first+i].Text, sha256.Sum256(l.Literals[n-1]), found.Sum(nil)))
	}
	return nil
}

// fetch asks for messages, of which there are want. What else the server tells,
// such as keywords that it had not named yet, is a part of the picture too.
func fetch(s *readback.IMAP, what string, want int, add func(...string)) (messages []readback.Line, err error) {
	_, lines, err := s.Do("FETCH " + what)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		if strings.Contains(l.Text, " FETCH (") {
			messages = append(messages, l)
		} else {
			add(l.Text)
		}
	}
	if len(messages) != want {
		return nil, fmt.Errorf("%d messages came of %d", len(messages), want)
	}
	return messages, nil
}

// fieldOf is the number behind a word: "UIDNEXT 7".
func fieldOf(text, word string) (int, error) {
	m := regexp.MustCompile(regexp.QuoteMeta(word) + ` (\d+)`).FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q has no %s", text, word)
	}
	return strconv.Atoi(m[1])
}
