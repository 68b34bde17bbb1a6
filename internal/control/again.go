package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// maxExported bounds the envelope of SendAgain in octets: some ten thousand
// recipients.
const maxExported = 4 << 20

// SendAgain hands a message over that was exported, with the envelope that it had:
// to those recipients that have not had it. It is a new message, with a lifetime of
// its own. The answer comes once it is durable.
func SendAgain(ctx context.Context, c *Client, o Outgoing) (Sent, error) {
	q := url.Values{"user": {o.User}}
	return handOver(ctx, c, "/v1/send/again?"+q.Encode(), o.Envelope, o.Message)
}

func (s *Service) sendAgain(w http.ResponseWriter, r *http.Request) {
	sent, err := s.again(r.Context(), r.URL.Query().Get("user"), r.Body)
	reply(w, sent, err)
}

func (s *Service) again(ctx context.Context, user string, body io.Reader) (Sent, error) {
	var e Exported
	message, err := takeEnvelope(body, maxExported, &e)
	if err != nil {
		return Sent{}, err
	}
	m, err := e.submission()
	if err != nil {
		return Sent{}, fmt.Errorf("the envelope: %w", err)
	}
	m.user, m.message = user, message
	return s.submit(ctx, m)
}

// submission is the envelope as it came in.
func (e *Exported) submission() (m submission, err error) {
	m.UTF8, m.Ret, m.EnvID, m.RequireTLS = e.UTF8, e.Ret, e.EnvID, e.RequireTLS
	m.By.Return, m.By.Trace = e.ByReturn, e.ByTrace
	if m.From, err = sender(e.From); err != nil {
		return m, err
	}
	if m.Release, err = setWhen(e.HoldUntil); err != nil {
		return m, err
	}
	m.Until = m.Release != 0
	if m.By.At, err = setWhen(e.By); err != nil {
		return m, err
	}
	if e.Ret != "" && e.Ret != "FULL" && e.Ret != "HDRS" {
		return m, fmt.Errorf("%q is not FULL or HDRS", e.Ret)
	}
	if e.EnvID != "" {
		if _, err := smtp.ParseEnvID(smtp.EncodeXtext(e.EnvID)); err != nil {
			return m, fmt.Errorf("%.40q is no ENVID: write up to 100 characters of ASCII (RFC 3461)", e.EnvID)
		}
	}
	if e.Priority < int(mail.LowestPriority) || e.Priority > int(mail.HighestPriority) {
		return m, fmt.Errorf("a priority of %d: write one from %d to %d", e.Priority, mail.LowestPriority, mail.HighestPriority)
	}
	m.Priority = mail.Priority(e.Priority)
	for _, to := range e.Recipients {
		if to.State == queue.Served.String() {
			continue // it has the message
		}
		r, err := recipient(to.Address)
		if err != nil {
			return m, err
		}
		if r.Notify, err = notifyOf(to.Notify); err != nil {
			return m, err
		}
		if to.ORCPT != "" {
			if r.ORCPT, err = smtp.ParseORCPT(smtp.FormatORCPT(to.ORCPT)); err != nil {
				return m, fmt.Errorf("%.40q is no ORCPT: write rfc822;USER@DOMAIN (RFC 3461)", to.ORCPT)
			}
		}
		m.recipients = append(m.recipients, r)
	}
	return m, nil
}

// setWhen reads what whenSet wrote.
func setWhen(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("%q is no time: %w", text, err)
	}
	return mail.Micros(at), nil
}

func notifyOf(words []string) (n mail.Notify, err error) {
	for _, word := range words {
		i := slices.Index(notifyNames(), word)
		if i < 0 {
			return n, fmt.Errorf("%q: NOTIFY is never, success, failure or delay", word)
		}
		n |= 1 << i
	}
	return n, nil
}
