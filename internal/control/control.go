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
	Error string `json:"error"`
}

// SocketPath returns where a server with this data_dir listens.
func SocketPath(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// Client asks. It is made by Dial or Direct.
type Client struct{ http *http.Client }

// Dial returns a client of the server that listens on path.
func Dial(path string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{http: &http.Client{Transport: &http.Transport{
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

func (c *Client) post(ctx context.Context, path string, body io.Reader, out any) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://hayauma"+path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the server does not answer on its admin socket: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	dec := json.NewDecoder(resp.Body)
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := dec.Decode(&f); err != nil || f.Error == "" {
			return fmt.Errorf("the server answers %s on its admin socket", resp.Status)
		}
		return errors.New(f.Error)
	}
	return dec.Decode(out)
}

// handle registers the server's side of a call.
func handle[In, Out any](mux *http.ServeMux, call Call[In, Out], serve func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /v1/"+call.Name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			answer(w, http.StatusBadRequest, failure{Error: "the question is not understood: " + err.Error()})
			return
		}
		out, err := serve(r.Context(), in)
		reply(w, out, err)
	})
}

// unknown answers a call that there is not, as a command line of another
// version may ask it.
func unknown(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusNotFound, failure{Error: fmt.Sprintf(
		"the server knows no %s %s: is it of another version than the command line?", r.Method, r.URL.Path)})
}

func reply(w http.ResponseWriter, out any, err error) {
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, failure{Error: err.Error()})
		return
	}
	answer(w, http.StatusOK, out)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the asker went away: nobody is left to tell
}

// direct carries requests to a handler without a socket.
type direct struct{ h http.Handler }

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	d.h.ServeHTTP(w, req)
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header,
		Body: io.NopCloser(&w.body), Request: req,
	}, nil
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
