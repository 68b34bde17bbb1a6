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
}

// Send hands a message over as a stream. The answer comes once it is durable.
func Send(ctx context.Context, c *Client, o Outgoing) (Sent, error) {
	q := url.Values{"from": {o.From}, "rcpt": o.Recipients, "user": {o.User}}
	var sent Sent
	err := c.post(ctx, "/v1/send?"+q.Encode(), o.Message, &sent)
	return sent, err
}

func (s *Service) send(w http.ResponseWriter, r *http.Request) {
	sent, err := s.submit(r.Context(), r.URL.Query(), r.Body)
	reply(w, sent, err)
}

func (s *Service) submit(ctx context.Context, q url.Values, message io.Reader) (Sent, error) {
	var env mail.Envelope
	if from := q.Get("from"); from != "" {
		a, err := mail.ParseAddress(from)
		if err != nil {
			return Sent{}, fmt.Errorf("sender %q: %w", from, err)
		}
		env.From = a
	}
	env.UTF8, env.EightBit = !env.From.IsASCII(), true
	if len(q["rcpt"]) == 0 {
		return Sent{}, errors.New("the message has no recipients")
	}
	o := mail.Origin{Door: mail.DoorCommand, Helo: "localhost", Protocol: "local", Tenant: account.MainTenant}
	if user := q.Get("user"); user != "" {
		o.Login = mail.Address{Local: user}
	}
	t := s.Intake.Begin(o, env)
	defer t.Abort()
	for _, rcpt := range q["rcpt"] {
		a, err := mail.ParseAddress(rcpt)
		if err != nil {
			return Sent{}, fmt.Errorf("recipient %q: %w", rcpt, err)
		}
		target, fault := t.Resolve(ctx, a)
		if fault == nil {
			fault = s.Policy.Rcpt(ctx, o, a, target)
		}
		if fault == nil {
			fault = t.Add(ctx, mail.Recipient{Address: a}, target)
		}
		if fault != nil {
			return Sent{}, fmt.Errorf("recipient %s: %w", rcpt, fault)
		}
	}
	if _, err := io.Copy(t, message); err != nil {
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
