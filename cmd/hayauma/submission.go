package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"strings"
)

// maxHeader bounds the header, which is held in memory, in octets.
const maxHeader = 1 << 20

// submission is a message on its way from standard input.
type submission struct {
	options    sendmail
	hostname   string
	home       string // the domain of bare users; empty = there is none
	user       string
	from       string // empty = the null path
	recipients []string
	named      map[string]bool // those in recipients
}

// field is one header field with its folded lines, without the last line end.
type field struct {
	name string // in lower case
	text []byte
}

// value is what stands behind the colon, unfolded.
func (f field) value() string {
	_, v, _ := bytes.Cut(f.text, []byte(":"))
	return strings.TrimSpace(strings.ReplaceAll(string(v), "\r\n", ""))
}

// open reads the header, settles the recipients, and returns the message with
// CRLF line ends: header from memory, body as a stream.
func (s *submission) open(r io.Reader) (io.Reader, error) {
	lines := newLineReader(r, !s.options.keepDots)
	head, rest, err := readHeader(lines)
	if err != nil {
		return nil, err
	}
	for _, rcpt := range s.options.recipients {
		err := s.addRecipients(rcpt)
		if errors.Is(err, errNoHome) { // which is no fault of the command line
			return nil, fmt.Errorf("recipient %q: %w", rcpt, err)
		}
		if err != nil {
			return nil, usagef("recipient %q: %v", rcpt, err)
		}
	}
	if s.options.fromHeader {
		if err := s.recipientsOf(head); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	if !has(head, "from") {
		out.WriteString("From: " + s.fromField() + "\r\n")
	}
	for _, f := range head {
		if f.name != "bcc" && f.name != "resent-bcc" {
			out.Write(f.text)
			out.WriteString("\r\n")
		}
	}
	out.WriteString("\r\n")
	out.Write(rest)
	return io.MultiReader(&out, lines), nil
}

func has(head []field, name string) bool {
	for _, f := range head {
		if f.name == name {
			return true
		}
	}
	return false
}

func (s *submission) fromField() string {
	a := mail.Address{Name: s.options.name, Address: s.from}
	if s.from == "" {
		a.Address = "MAILER-DAEMON@" + s.hostname
	}
	return a.String()
}

// recipientsOf takes the recipients from the header. A message that was resent
// goes to those of the resending (RFC 5322 §3.6.6).
func (s *submission) recipientsOf(head []field) error {
	prefix := ""
	if has(head, "resent-to") || has(head, "resent-cc") || has(head, "resent-bcc") {
		prefix = "resent-"
	}
	for _, f := range head {
		switch f.name {
		case prefix + "to", prefix + "cc", prefix + "bcc":
			if err := s.addRecipients(f.value()); err != nil {
				return fmt.Errorf("the message's %s: %w; correct the field, or name the recipients on the command line without -t", f.name, err)
			}
		}
	}
	return nil
}

// addRecipients adds the addresses of a list, each once.
func (s *submission) addRecipients(text string) error {
	if s.named == nil {
		s.named = map[string]bool{}
	}
	for _, part := range splitList(text) {
		addresses, err := parseList(part, s.home)
		if err != nil {
			return fmt.Errorf("%q: %w", part, err)
		}
		for _, a := range addresses {
			if !s.named[a] {
				s.recipients, s.named[a] = append(s.recipients, a), true
			}
		}
	}
	return nil
}

// splitList cuts an address list at its commas, but not inside of quotes,
// comments, angles or groups.
func splitList(text string) []string {
	var out []string
	begin, depth, quoted, group := 0, 0, false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(' || c == '<' || c == '[':
			depth++
		case (c == ')' || c == '>' || c == ']') && depth > 0:
			depth--
		case depth > 0:
		case c == ':' || c == ';':
			group = c == ':'
		case c == ',' && !group:
			out = append(out, text[begin:i])
			begin = i + 1
		}
	}
	out = append(out, text[begin:])
	kept := out[:0]
	for _, part := range out {
		if part = strings.TrimSpace(part); part != "" {
			kept = append(kept, part)
		}
	}
	return kept
}

// parseList reads one entry of an address list: an address with or without a
// name, a bare user, or a group of them.
func parseList(text, home string) ([]string, error) {
	if !strings.ContainsAny(text, "@:<(\" ") {
		if home == "" {
			return nil, errNoHome
		}
		return []string{text + "@" + home}, nil
	}
	// Names are of no interest here, so that an unknown charset is no error.
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{
		CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
	}}
	parsed, err := parser.ParseList(text)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(parsed))
	for _, a := range parsed {
		out = append(out, a.Address)
	}
	return out, nil
}

var errNoHome = errors.New("a user without a domain, and no domain is at home here: write user@example.org, or make one with 'hayauma domain add'")

var errHeader = errors.New("the header of the message is larger than 1 MiB: put an empty line between header and body")

// readHeader reads fields up to the empty line. A line that is no field begins
// the body, which is returned as rest: such messages have lost their empty line.
func readHeader(r *lineReader) (head []field, rest []byte, err error) {
	size := 0
	for {
		text, err := r.line(maxHeader - size)
		if errors.Is(err, io.EOF) {
			return head, nil, nil
		}
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, nil, errHeader
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the message: %w", err)
		}
		size += len(text)
		content := bytes.TrimSuffix(text, []byte("\r\n"))
		name, isField := fieldName(content)
		switch {
		case len(content) == 0:
			return head, nil, nil
		case (content[0] == ' ' || content[0] == '\t') && len(head) > 0:
			last := &head[len(head)-1]
			last.text = append(append(last.text, "\r\n"...), content...)
		case size == len(text) && bytes.HasPrefix(content, []byte("From ")):
			// the envelope line of a mbox file
		case isField:
			head = append(head, field{name: name, text: bytes.Clone(content)})
		default:
			return head, text, nil
		}
	}
}

// fieldName returns the name of the field that a line begins (RFC 5322 §3.6.8),
// in lower case.
func fieldName(text []byte) (string, bool) {
	name, _, ok := bytes.Cut(text, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !ok || len(name) == 0 {
		return "", false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	return strings.ToLower(string(name)), true
}
