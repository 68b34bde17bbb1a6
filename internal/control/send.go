package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

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

// Send hands a message over as a stream. The answer comes once it is durable.
func Send(ctx context.Context, c *Client, o Outgoing) (Sent, error) {
	q := url.Values{"from": {o.From}, "rcpt": o.Recipients, "user": {o.User}}
	var sent Sent
	err := c.post(ctx, "/v1/send?"+q.Encode(), o.Message, &sent)
	return sent, err
}

func (s *Service) send(w http.ResponseWriter, r *http.Request) {
	sent, err := s.fromQuery(r.Context(), r.URL.Query(), r.Body)
	reply(w, sent, err)
}

func (s *Service) fromQuery(ctx context.Context, q url.Values, message io.Reader) (Sent, error) {
	from, err := sender(q.Get("from"))
	if err != nil {
		return Sent{}, err
	}
	list := make([]mail.Recipient, 0, len(q["rcpt"]))
	for _, text := range q["rcpt"] {
		r, err := recipient(text)
		if err != nil {
			return Sent{}, err
		}
		list = append(list, r)
	}
	return s.submit(ctx, submission{Envelope: mail.Envelope{From: from}, recipients: list, user: q.Get("user"), message: message})
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
		return Sent{}, err
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
