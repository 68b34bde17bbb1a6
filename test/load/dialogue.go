package load

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// ReplyError is an answer of the server other than the one that was due.
type ReplyError struct {
	Step string
	Code int // 0 where the protocol has no codes: IMAP and POP3
	Text string
}

func (e *ReplyError) Error() string {
	if e.Code == 0 {
		return e.Step + ": " + e.Text
	}
	return fmt.Sprintf("%s: %d %s", e.Step, e.Code, e.Text)
}

// stepError is a connection that failed at a step.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

var errNoReply = errors.New("not an SMTP reply")

// dialogue is the client's side of one SMTP or LMTP connection.
type dialogue struct {
	*lineConn
	out    []byte
	data   []byte
	spoilt bool // the server waits for a body that will not come
	offers []string
}

// open connects, greets, secures and logs in as the source says.
func (r *sourceRun) open(ctx context.Context) (*dialogue, error) {
	lc, err := dialLine(ctx, r.target, 4096, r.cfg.Timeout)
	if err != nil {
		return nil, &stepError{"connect", err}
	}
	d := &dialogue{lineConn: lc, out: make([]byte, 0, 512), data: []byte("DATA\r\n")}
	if err := r.greet(ctx, d); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (r *sourceRun) greet(ctx context.Context, d *dialogue) error {
	if err := d.arm(); err != nil {
		return &stepError{"connect", err}
	}
	if r.cfg.TLS {
		if err := d.startTLS(ctx); err != nil {
			return &stepError{"TLS", err}
		}
	}
	if _, err := d.expect("greeting", 220); err != nil {
		return err
	}
	if err := d.hello(r.cfg); err != nil {
		return err
	}
	if r.cfg.StartTLS {
		if err := d.step("STARTTLS", []byte("STARTTLS\r\n"), 220); err != nil {
			return err
		}
		if err := d.startTLS(ctx); err != nil {
			return &stepError{"TLS", err}
		}
		if err := d.hello(r.cfg); err != nil {
			return err
		}
	}
	if r.cfg.Pipeline && !d.offered("PIPELINING") {
		return &stepError{"pipelining", errors.New("not offered")}
	}
	if r.cfg.Auth == "" {
		return nil
	}
	// RFC 4616: authorization id (empty), user, password.
	user, pass, _ := strings.Cut(r.cfg.Auth, ":")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + pass))
	return d.step("AUTH", []byte("AUTH PLAIN "+plain+"\r\n"), 235)
}

func (d *dialogue) hello(cfg Source) error {
	verb := "EHLO "
	if cfg.LMTP {
		verb = "LHLO "
	}
	if err := d.write([]byte(verb + cfg.Helo + "\r\n")); err != nil {
		return &stepError{"EHLO", err}
	}
	d.offers = d.offers[:0]
	for {
		l, err := d.line()
		if err != nil {
			return &stepError{"EHLO", err}
		}
		code, last, ok := replyLine(l)
		if !ok {
			return &stepError{"EHLO", errNoReply}
		}
		if code == 250 && len(l) > 4 {
			d.offers = append(d.offers, string(l[4:]))
		}
		if last && code != 250 {
			return &ReplyError{Step: "EHLO", Code: code, Text: string(l[min(4, len(l)):])}
		}
		if last {
			return nil
		}
	}
}

func (d *dialogue) offered(keyword string) bool {
	for _, o := range d.offers {
		if word, _, _ := strings.Cut(o, " "); strings.EqualFold(word, keyword) {
			return true
		}
	}
	return false
}

// step writes one command and reads its reply.
func (d *dialogue) step(name string, command []byte, want int) error {
	if err := d.write(command); err != nil {
		return &stepError{name, err}
	}
	_, err := d.expect(name, want)
	return err
}

// expect reads a whole reply and returns the text of its last line, valid until
// the next read. RFC 5321 §4.2.1: all lines but the last have a hyphen.
func (d *dialogue) expect(name string, want int) ([]byte, error) {
	for {
		l, err := d.line()
		if err != nil {
			return nil, &stepError{name, err}
		}
		code, last, ok := replyLine(l)
		if !ok {
			return nil, &stepError{name, errNoReply}
		}
		if !last {
			continue
		}
		text := bytes.TrimSpace(l[3:])
		if code != want {
			return nil, &ReplyError{Step: name, Code: code, Text: string(text)}
		}
		return text, nil
	}
}

func replyLine(l []byte) (code int, last, ok bool) {
	if len(l) < 3 {
		return 0, false, false
	}
	for _, c := range l[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	return code, len(l) == 3 || l[3] != '-', true
}

// reset ends a refused transaction so that the connection can go on.
func (d *dialogue) reset() error {
	if d.spoilt {
		return errors.New("connection is inside a refused DATA")
	}
	return d.step("RSET", []byte("RSET\r\n"), 250)
}

// quit is polite; whatever comes back, the connection is closed next.
func (d *dialogue) quit() {
	if d.arm() == nil {
		_ = d.step("QUIT", []byte("QUIT\r\n"), 221)
	}
}
