package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// ErrGone says that a message has left the queue.
var ErrGone = errors.New("the message has left the queue: it was delivered, or deleted")

// Exported is a message of the queue as it is taken elsewhere: with its envelope, so
// that it can be sent from there.
type Exported struct {
	Message    string              `json:"message"`
	From       string              `json:"from"` // empty = the null path
	Recipients []ExportedRecipient `json:"recipients"`
	Size       int64               `json:"size"`
	Received   string              `json:"received"` // RFC 3339
	Expires    string              `json:"expires"`  // the last of them
	EightBit   bool                `json:"8bitmime,omitempty"`
	UTF8       bool                `json:"smtputf8,omitempty"`
	Ret        string              `json:"ret,omitempty"`
	EnvID      string              `json:"envid,omitempty"`
	HoldUntil  string              `json:"hold_until,omitempty"` // RFC 3339
	By         string              `json:"by,omitempty"`         // RFC 3339
	ByReturn   bool                `json:"by_return,omitempty"`
	ByTrace    bool                `json:"by_trace,omitempty"`
	Priority   int                 `json:"priority,omitempty"`
	RequireTLS bool                `json:"requiretls,omitempty"`
	Stream     string              `json:"stream,omitempty"`
	Tags       []string            `json:"tags,omitempty"`
}

// ExportedRecipient is a recipient of such a message.
type ExportedRecipient struct {
	ID      string   `json:"id,omitempty"`
	Address string   `json:"address"`
	Notify  []string `json:"notify,omitempty"` // "never", "success", "failure", "delay"
	ORCPT   string   `json:"orcpt,omitempty"`
	State   string   `json:"state,omitempty"`
}

// exportLine is one line of the answer to Export. The last one says that it is, or
// why there are no more.
type exportLine struct {
	Message *Exported `json:"message,omitempty"`
	Error   string    `json:"error,omitempty"`
	End     bool      `json:"end,omitempty"`
}

// Export calls take with every message of which recipients are chosen, with those
// alone, one at a time. What it holds is given by Content.
func Export(ctx context.Context, c *Client, f QueueFilter, take func(Exported) error) error {
	question, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return c.stream(ctx, "/v1/queue/export", bytes.NewReader(question), func(answer *http.Response) error {
		dec := json.NewDecoder(answer.Body)
		for {
			var line exportLine
			if err := dec.Decode(&line); err != nil {
				return fmt.Errorf("the list of messages ends too early: %w", err)
			}
			switch {
			case line.End:
				return nil
			case line.Message == nil:
				return errors.New(line.Error)
			}
			if err := take(*line.Message); err != nil {
				return err
			}
		}
	})
}

// Content writes a message as it would go out. Its error is ErrGone if it has gone
// out meanwhile; after any error w has only a part.
func Content(ctx context.Context, c *Client, message string, w io.Writer) error {
	question, err := json.Marshal(MessageName{Message: message})
	if err != nil {
		return err
	}
	return c.stream(ctx, "/v1/queue/content", bytes.NewReader(question), func(answer *http.Response) error {
		n, err := io.Copy(w, answer.Body)
		if err == nil && strconv.FormatInt(n, 10) != answer.Header.Get("Content-Length") {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
}

func (s *Service) handleExport(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/queue/export", s.queueExport)
	mux.HandleFunc("POST /v1/queue/content", s.queueContent)
}

func (s *Service) queueExport(w http.ResponseWriter, r *http.Request) {
	var in QueueFilter
	if !understood(w, r, &in) {
		return
	}
	f, err := s.filter(r.Context(), in)
	if err != nil {
		reply(w, nil, err)
		return
	}
	enc := json.NewEncoder(w)
	begun := false
	err = s.Queue.Each(r.Context(), f, func(m *queue.Message) error {
		begun = true
		return enc.Encode(exportLine{Message: s.exported(m)})
	})
	if err != nil && !begun {
		reply(w, nil, err)
		return
	}
	last := exportLine{End: true}
	if err != nil {
		last = exportLine{Error: err.Error()}
	}
	_ = enc.Encode(last) // without it the asker knows that it is not all
}

func (s *Service) exported(m *queue.Message) *Exported {
	e := &Exported{
		Message: m.ID.String(), From: m.From.String(), Size: m.Size, Received: rfc3339(m.Received),
		EightBit: m.EightBit, UTF8: m.UTF8, Ret: m.Ret, EnvID: m.EnvID,
		By: whenSet(m.By.At), ByReturn: m.By.Return, ByTrace: m.By.Trace, Priority: int(m.Priority), RequireTLS: m.RequireTLS,
		Stream: m.Stream, Tags: m.Tags,
	}
	if m.From.IsNull() {
		e.From = ""
	}
	last := int64(0)
	for _, r := range m.Recipients {
		last = max(last, s.Queue.Expires(m, &r))
		if r.NotBefore > m.Received {
			e.HoldUntil = whenSet(r.NotBefore)
		}
		e.Recipients = append(e.Recipients, ExportedRecipient{
			ID: r.ID.String(), Address: r.Address.String(), Notify: notifyWords(r.Notify), ORCPT: r.ORCPT, State: r.State.String(),
		})
	}
	e.Expires = rfc3339(last)
	return e
}

// whenSet is a time with its microseconds, empty if there is none.
func whenSet(micros int64) string {
	if micros == 0 {
		return ""
	}
	return mail.FromMicros(micros).Format(time.RFC3339Nano)
}

// notifyNames are the words of NOTIFY (RFC 3461 §4.1) in the order of their bits.
func notifyNames() []string { return []string{"never", "success", "failure", "delay"} }

func notifyWords(n mail.Notify) (words []string) {
	for i, name := range notifyNames() {
		if n&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return words
}

func (s *Service) queueContent(w http.ResponseWriter, r *http.Request) {
	var in MessageName
	if !understood(w, r, &in) {
		return
	}
	m, content, done, err := s.content(r.Context(), in)
	if errors.Is(err, queue.ErrNotFound) {
		w.WriteHeader(http.StatusGone)
		return
	}
	if err != nil {
		reply(w, nil, fmt.Errorf("%s: %w", in.Message, err))
		return
	}
	w.Header().Set("Content-Type", "message/rfc822")
	w.Header().Set("Content-Length", strconv.FormatInt(m.Size, 10))
	_, _ = io.Copy(w, content) // where less comes than was said, the asker sees it
	_ = done()
}

// content opens a message of the queue.
func (s *Service) content(ctx context.Context, in MessageName) (m *queue.Message, content io.Reader, done func() error, err error) {
	id, err := mail.ParseID(in.Message)
	if err != nil {
		return nil, nil, nil, err
	}
	if m, err = s.Queue.Show(ctx, id); err != nil {
		return nil, nil, nil, err
	}
	body, err := s.Blobs.Open(ctx, m.Body)
	if err != nil {
		return nil, nil, nil, err
	}
	return m, io.MultiReader(bytes.NewReader(m.Prefix), io.NewSectionReader(body, 0, body.Size())), body.Close, nil
}
