package testkit

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rewriteFlag is a global because the test binary parses its flags before any
// test runs.
var rewriteFlag = flag.Bool("rewrite", false, "rewrite the S lines of golden dialogs with what was received")

const (
	dialogPatience = 5 * time.Second        // for each expected line
	rewriteQuiet   = 150 * time.Millisecond // -rewrite: the server has said everything
	dialogLine     = 1 << 20                // longest line accepted from a server
)

// Dialog runs golden transcripts against a server.
//
// A transcript has one statement on a line:
//
//	# comment                 kept by -rewrite
//	C: text                   sends text CRLF
//	C= text\r\n\x00           sends exactly these bytes, with Go's escapes
//	C64: AA0K                 sends exactly these bytes, in base64
//	S: text                   the next line from the server is text
//	S~ pattern                ... matches the whole pattern (regexp)
//	S= text\t                 ... is this, with Go's escapes
//	[starttls]                shakes hands as the client
//	[end]                     says no more, and still listens
//	[close]                   closes the connection
//	[closed]                  the server closes it, having said nothing more
//	[do something]            has something happen: what that is, Do knows
//
// A digit names a connection: C2: S2~ S2= C2/64: [close 2]. A connection is
// dialled when a line first names it. A named group (?P<uid>\d+) in a pattern
// is available later as ${uid} in C, S and = lines, as those of Given are. A server
// line that does not end in CRLF shows its own ending, as S= text\n.
type Dialog struct {
	// Dial makes a connection; name is the digit of the connection, or "".
	Dial func(name string) (net.Conn, error)
	// TLS is the client's side for [starttls].
	TLS *tls.Config
	// Do has something happen that no peer does.
	Do func(what string) error
	// Given are texts too long for a transcript, by name.
	Given map[string]string
	// Patience is how long each expected line may take; 0 = five seconds.
	Patience time.Duration
}

// RunAll runs each file that matches the pattern as a subtest, for which made
// gives the dialog: a fresh server for each file keeps files independent.
func RunAll(t *testing.T, pattern string, made func(t *testing.T) Dialog) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("dialogs %q: %d files, %v", pattern, len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			made(t).Run(t, file)
		})
	}
}

// Run plays one file. With -rewrite it writes the file anew instead of comparing.
func (d Dialog) Run(t testing.TB, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	updated, err := d.play(string(text), *rewriteFlag)
	if err != nil {
		t.Fatalf("%s:%v", file, err)
	}
	if *rewriteFlag && updated != string(text) {
		if err := os.WriteFile(file, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s rewritten", file)
	}
}

// player is one run of a dialog.
type player struct {
	dialog  Dialog
	rewrite bool
	conns   map[string]*dialogConn
	vars    map[string]string
	out     []string // the file as -rewrite writes it
	log     []string // what happened, for the failure
}

type dialogConn struct {
	conn net.Conn
	in   *bufio.Reader
}

// play returns the transcript with its S lines as received, or as given where
// it does not rewrite. The error begins with the line's number.
func (d Dialog) play(text string, rewrite bool) (string, error) {
	steps, err := parseScript(text)
	if err != nil {
		return "", err
	}
	if d.Patience == 0 {
		d.Patience = dialogPatience
	}
	p := &player{dialog: d, rewrite: rewrite, conns: map[string]*dialogConn{}, vars: map[string]string{}}
	maps.Copy(p.vars, d.Given)
	defer p.closeAll()
	for i := 0; i < len(steps); {
		used, err := p.next(steps[i:])
		if err != nil {
			return "", fmt.Errorf("%d: %w\n%s", steps[i].number, err, strings.Join(p.log, "\n"))
		}
		i += used
	}
	if err := p.leftovers(); err != nil {
		return "", fmt.Errorf("%d: %w\n%s", len(steps), err, strings.Join(p.log, "\n"))
	}
	return strings.Join(p.out, "\n") + "\n", nil
}

// next plays one step, or a whole block of S steps, and says how many it took.
func (p *player) next(steps []step) (int, error) {
	s := steps[0]
	if s.kind == stepComment {
		p.out = append(p.out, s.source)
		return 1, nil
	}
	if s.kind == stepDo {
		p.out, p.log = append(p.out, s.source), append(p.log, "  "+s.source)
		if p.dialog.Do == nil {
			return 0, errors.New("[do] without anybody who does it")
		}
		return 1, p.dialog.Do(s.bytes)
	}
	c, err := p.conn(s.conn)
	if err != nil {
		return 0, err
	}
	if s.kind == stepExpect {
		return p.expect(c, steps)
	}
	p.out = append(p.out, s.source)
	p.log = append(p.log, "  "+s.source)
	switch s.kind {
	case stepSend:
		err = p.send(c, s, steps)
	case stepEnd:
		err = c.conn.(interface{ CloseWrite() error }).CloseWrite()
	case stepClose:
		delete(p.conns, s.conn)
		err = c.conn.Close()
	case stepClosed:
		delete(p.conns, s.conn)
		err = p.readEnd(c)
		_ = c.conn.Close() // the peer is gone, a TLS goodbye cannot reach it
	case stepStartTLS:
		err = p.startTLS(c)
	}
	return 1, err
}

func (p *player) conn(name string) (*dialogConn, error) {
	if c := p.conns[name]; c != nil {
		return c, nil
	}
	conn, err := p.dialog.Dial(name)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := &dialogConn{conn: conn, in: bufio.NewReader(conn)}
	p.conns[name] = c
	return c, nil
}

// send writes; the last of several C lines without an S line after it takes in
// what the server answers when rewriting, so that a transcript can be begun
// with C lines alone.
func (p *player) send(c *dialogConn, s step, steps []step) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(p.dialog.Patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c.conn, expand(s.bytes, p.vars)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	follows := stepComment
	for _, later := range steps[1:] {
		if later.kind != stepComment {
			follows = later.kind
			break
		}
	}
	if !p.rewrite || follows == stepSend || follows == stepExpect || follows == stepClosed {
		return nil
	}
	got, err := p.readQuiet(c, rewriteQuiet)
	p.out = append(p.out, rewritten(s.conn, nil, got, p.vars)...)
	return err
}

func (p *player) startTLS(c *dialogConn) error {
	if p.dialog.TLS == nil {
		return errors.New("[starttls] without a TLS configuration")
	}
	if n := c.in.Buffered(); n > 0 {
		return fmt.Errorf("server sent %d bytes in clear before the handshake", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.dialog.Patience)
	defer cancel()
	if err := c.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	secured := tls.Client(c.conn, p.dialog.TLS)
	if err := secured.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("starttls: %w", err)
	}
	c.conn, c.in = secured, bufio.NewReader(secured)
	return nil
}

// expect takes the S steps (and comments between them) of one connection.
func (p *player) expect(c *dialogConn, steps []step) (int, error) {
	name := steps[0].conn
	size := 1
	for i, s := range steps {
		if s.kind == stepExpect && s.conn == name {
			size = i + 1
		} else if s.kind != stepComment {
			break
		}
	}
	block := steps[:size]
	if p.rewrite {
		got, err := p.readQuiet(c, p.dialog.Patience)
		p.out = append(p.out, rewritten(name, block, got, p.vars)...)
		return size, err
	}
	for i, s := range block {
		p.out = append(p.out, s.source)
		if s.kind == stepComment {
			continue
		}
		line, err := p.readLine(c, p.dialog.Patience)
		if err != nil {
			p.log = append(p.log, "- "+s.source, "+ "+describe(err))
			return 0, fmt.Errorf("line %d: %w", s.number, errors.New(describe(err)))
		}
		if !s.matches(line, p.vars) {
			p.mismatch(c, name, block[i:], line)
			return 0, fmt.Errorf("line %d: the server said something else (- expected, + received)", s.number)
		}
		p.log = append(p.log, "  "+expectation(name, line))
	}
	return size, nil
}

// mismatch logs the rest of the block beside what the server said.
func (p *player) mismatch(c *dialogConn, name string, block []step, first string) {
	for _, s := range block {
		if s.kind == stepExpect {
			p.log = append(p.log, "- "+s.source)
		}
	}
	got, _ := p.readQuiet(c, rewriteQuiet) // the mismatch is the failure
	for _, line := range append([]string{first}, got...) {
		p.log = append(p.log, "+ "+expectation(name, line))
	}
}

// readLine returns a line without its CRLF, or with its ending if that is not CRLF.
func (p *player) readLine(c *dialogConn, patience time.Duration) (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return strings.TrimSuffix(string(line), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) < dialogLine:
		case len(line) > 0:
			return "", fmt.Errorf("after %q: %w", line, err)
		default:
			return "", err
		}
	}
}

// readQuiet reads lines until the server has been quiet or has closed. The
// first line may take longer.
func (p *player) readQuiet(c *dialogConn, first time.Duration) ([]string, error) {
	var got []string
	for patience := first; ; patience = rewriteQuiet {
		line, err := p.readLine(c, patience)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, line)
	}
}

func (p *player) readEnd(c *dialogConn) error {
	line, err := p.readLine(c, p.dialog.Patience)
	switch {
	case err == nil:
		return fmt.Errorf("server said %q instead of closing", line)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("server kept the connection open")
	}
	return nil
}

// leftovers finds lines that were received and that no S line expected.
func (p *player) leftovers() error {
	for name, c := range p.conns {
		if n := c.in.Buffered(); n > 0 {
			rest, err := c.in.Peek(n)
			return errors.Join(fmt.Errorf("connection %q: unexpected at the end: %q", name, rest), err)
		}
	}
	return nil
}

func (p *player) closeAll() {
	for _, c := range p.conns {
		_ = c.conn.Close() // the server may have closed it
	}
}

func describe(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "the server said nothing"
	case errors.Is(err, io.EOF):
		return "the server closed the connection"
	}
	return err.Error()
}
