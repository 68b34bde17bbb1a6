package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

// Outgoing is a message for Send.
type Outgoing struct {
	From       string // empty = the null path
	Recipients []string
	User       string    // who sends, for the trace
	Message    io.Reader // with CRLF line ends
	Envelope   *Exported // of SendAgain, instead of From and Recipients
}

// envelope is what stands before a message that Send hands over, in a line of its own:
// in the address of a call there is no room for many recipients.
type envelope struct {
	From       string   `json:"from"`
	Recipients []string `json:"recipients"`
	User       string   `json:"user"`
}

// maxEnvelope bounds the line in octets: as many recipients as limits.recipients can
// allow, each with the longest path.
const maxEnvelope = 32 << 20

// Send hands a message over as a stream. The answer comes once it is durable.
func Send(ctx context.Context, c *Client, o Outgoing) (Sent, error) {
	// An address that is no text would become another one on its way.
	if _, err := sender(o.From); err != nil {
		return Sent{}, err
	}
	for _, text := range o.Recipients {
		if _, err := recipient(text); err != nil {
			return Sent{}, err
		}
	}
	return handOver(ctx, c, "/v1/send", envelope{From: o.From, Recipients: o.Recipients, User: o.User}, o.Message)
}

func handOver(ctx context.Context, c *Client, path string, envelope any, message io.Reader) (Sent, error) {
	var sent Sent
	line, err := json.Marshal(envelope)
	if err != nil {
		return sent, err
	}
	err = c.post(ctx, path, io.MultiReader(bytes.NewReader(append(line, '\n')), message), &sent)
	return sent, err
}

// takeEnvelope reads the line before a message, of so many octets at most, and returns
// what stands behind it.
func takeEnvelope(body io.Reader, most int, into any) (message io.Reader, err error) {
	in := bufio.NewReader(body)
	var line []byte
	for more := true; more; {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > most {
			return nil, errors.New("the envelope is too long: take fewer recipients at once")
		}
		if more = errors.Is(err, bufio.ErrBufferFull); err != nil && !more {
			return nil, fmt.Errorf("read the envelope: %w", err)
		}
	}
	if err := json.Unmarshal(line, into); err != nil {
		return nil, fmt.Errorf("the envelope is not understood: %w", err)
	}
	return in, nil
}

func (s *Service) send(w http.ResponseWriter, r *http.Request) {
	sent, err := s.fromBody(r.Context(), r.Body)
	reply(w, sent, err)
}

func (s *Service) fromBody(ctx context.Context, body io.Reader) (Sent, error) {
	var e envelope
	message, err := takeEnvelope(body, maxEnvelope, &e)
	if err != nil {
		return Sent{}, err
	}
	from, err := sender(e.From)
	if err != nil {
		return Sent{}, err
	}
	list := make([]mail.Recipient, 0, len(e.Recipients))
	for _, text := range e.Recipients {
		r, err := recipient(text)
		if err != nil {
			return Sent{}, err
		}
		list = append(list, r)
	}
	return s.submit(ctx, submission{Envelope: mail.Envelope{From: from}, recipients: list, user: e.User, message: message})
}

func sender(text string) (mail.Address, error) {
	if text == "" {
		return mail.Address{}, nil
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		err = fmt.Errorf("sender %q: %w", text, err)
	}
	return a, err
}

func recipient(text string) (mail.Recipient, error) {
	a, err := mail.ParseAddress(text)
	if err != nil {
		err = fmt.Errorf("recipient %q: %w", text, err)
	}
	return mail.Recipient{Address: a}, err
}

// submission is a message from the command line.
type submission struct {
	mail.Envelope
	recipients []mail.Recipient
	user       string
	message    io.Reader
}

func (s *Service) submit(ctx context.Context, m submission) (Sent, error) {
	env := m.Envelope
	env.UTF8, env.EightBit = env.UTF8 || !env.From.IsASCII(), true
	if len(m.recipients) == 0 {
		return Sent{}, errors.New("the message has no recipients")
	}
	o := mail.Origin{Door: mail.DoorCommand, Helo: "localhost", Protocol: "local", Tenant: account.MainTenant}
	if m.user != "" {
		o.Login = mail.Address{Local: m.user}
	}
	t := s.Intake.Begin(o, env)
	defer t.Abort()
	for _, r := range m.recipients {
		target, fault := t.Resolve(ctx, r.Address)
		if fault == nil {
			fault = s.Policy.Rcpt(ctx, o, r.Address, target)
		}
		if fault == nil {
			fault = t.Add(ctx, r, target)
		}
		if fault != nil {
			return Sent{}, fmt.Errorf("recipient %s: %w", r.Address, fault)
		}
	}
	if _, err := io.Copy(t, m.message); err != nil {
		return Sent{}, mail.AsFault(err)
	}
	result := t.Commit(context.WithoutCancel(ctx))
	if result.Fault != nil {
		return Sent{}, result.Fault
	}
	return Sent{Message: result.ID.String()}, nil
}

// headerOf cuts a message behind its header.
func headerOf(b []byte) []byte {
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		return b[:i+2]
	}
	return b
}
