// Package control is the admin socket: the calls by which the command line
// works on a running server, or on the stores of a stopped one.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// Call is one thing that can be asked, with the types of question and answer.
// Both sides use the same value, so they cannot disagree.
type Call[In, Out any] struct{ Name string }

// Empty is the question or answer of a call that has none.
type Empty struct{}

// maxQuestion bounds a question in octets; a message to send comes as a stream
// and is bounded by the intake.
const maxQuestion = 16 << 20

// failure is how an error crosses the socket.
type failure struct {
	Error     string `json:"error"`
	Temporary bool   `json:"temporary,omitempty"`
}

// Refusal is what the server says to what it was asked and does not do.
type Refusal struct {
	Text      string
	Temporary bool // asked again it may
}

func (r *Refusal) Error() string { return r.Text }

// SocketPath returns where a server with this data_dir listens.
func SocketPath(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// Client asks. It is made by Dial or Direct.
type Client struct {
	http  *http.Client
	pulse pulse
}

// Dial returns a client of the server that listens on path.
func Dial(path string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{pulse: pulse{path, signEvery, signWithin}, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
	}}}
}

// Direct returns a client of a handler in this process: the stores are open
// here, because no server runs.
func Direct(h http.Handler) *Client {
	return &Client{http: &http.Client{Transport: direct{h}}}
}

// Ask makes a call. An error of the server comes back with its sentence.
func Ask[In, Out any](ctx context.Context, c *Client, call Call[In, Out], in In) (Out, error) {
	var out Out
	question, err := json.Marshal(in)
	if err != nil {
		return out, fmt.Errorf("%s: %w", call.Name, err)
	}
	err = c.post(ctx, "/v1/"+call.Name, bytes.NewReader(question), &out)
	return out, err
}

func (c *Client) post(ctx context.Context, path string, body io.Reader, out any) error {
	return c.stream(ctx, path, body, func(answer *http.Response) error {
		err := json.NewDecoder(answer.Body).Decode(out)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the answer ends too early: the server stopped meanwhile, or could not read on; ask again")
		}
		return err
	})
}

// stream makes a call and has its answer read, for as long as the server lives.
func (c *Client) stream(ctx context.Context, path string, body io.Reader, read func(*http.Response) error) error {
	ctx, stop := c.watch(ctx)
	defer stop()
	err := c.call(ctx, path, body, read)
	if silent, ok := errors.AsType[*silentError](context.Cause(ctx)); ok && err != nil {
		return silent
	}
	return err
}

func (c *Client) call(ctx context.Context, path string, body io.Reader, read func(*http.Response) error) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://hayauma"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return unanswered(ctx, err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	switch resp.StatusCode {
	case http.StatusOK:
		return read(resp)
	case http.StatusGone:
		return ErrGone
	}
	var f failure
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
		return fmt.Errorf("the server answers %s on its admin socket", resp.Status)
	}
	if resp.StatusCode != http.StatusUnprocessableEntity {
		return errors.New(f.Error) // it did not understand
	}
	return &Refusal{Text: f.Error, Temporary: f.Temporary}
}

// ErrNoAnswer is among the errors of a call that nothing came back of.
var ErrNoAnswer = errors.New("no answer")

// unansweredError is ErrNoAnswer with what is known of the reason.
type unansweredError struct{ error }

func (e unansweredError) Unwrap() []error { return []error{ErrNoAnswer, e.error} }

// unanswered tells what the asker has to reckon with.
func unanswered(ctx context.Context, err error) error {
	text := "the server ended before it answered; what was asked may be done, or a part of it"
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		text = "the server does not answer on its admin socket"
	} else if ctx.Err() != nil {
		text, err = "stopped before the server answered; what was asked may be done, or a part of it", context.Cause(ctx)
	}
	return unansweredError{fmt.Errorf("%s: %w", text, err)}
}

// handle registers the server's side of a call.
func handle[In, Out any](mux *http.ServeMux, call Call[In, Out], serve func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /v1/"+call.Name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if understood(w, r, &in) {
			out, err := serve(r.Context(), in)
			reply(w, out, err)
		}
	})
}

// understood reads a question, or answers that it cannot be read.
func understood(w http.ResponseWriter, r *http.Request, in any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
	dec.DisallowUnknownFields()
	err := dec.Decode(in)
	if err != nil {
		answer(w, http.StatusBadRequest, failure{Error: "the question is not understood: " + err.Error()})
	}
	return err == nil
}

// unknown answers a call that there is not, as a command line of another
// version may ask it.
func unknown(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusNotFound, failure{Error: fmt.Sprintf(
		"the server knows no %s %s: is it of another version than the command line?", r.Method, r.URL.Path)})
}

func reply(w http.ResponseWriter, out any, err error) {
	if err != nil {
		fault, ok := errors.AsType[*mail.Fault](err)
		answer(w, http.StatusUnprocessableEntity, failure{Error: err.Error(), Temporary: ok && fault.Class == mail.Transient})
		return
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the asker went away: nobody is left to tell
}
