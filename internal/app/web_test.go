package app

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// The request that is being answered when the server stops is answered; then
// its connection ends, and so does one between two requests.
func TestWebFinishesWhatItAnswers(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		close(began)
		<-goOn
		_, _ = io.WriteString(w, "done") // the answer is read below
	})
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	w := newWeb(mux, slog.New(slog.DiscardHandler))
	t.Cleanup(w.start())
	ctx, cancel := context.WithCancel(t.Context())
	visit := func(path string) (*bufio.Reader, chan struct{}) {
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.serve(ctx, server)
		}()
		t.Cleanup(func() { _ = client.Close() }) // it is over
		if _, err := io.WriteString(client, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Error(err)
		}
		return bufio.NewReader(client), ended
	}
	answer := func(r *bufio.Reader) string {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		return string(text)
	}
	idle, idleEnded := visit("/")
	answer(idle)
	slow, slowEnded := visit("/slow")
	<-began
	cancel()
	<-idleEnded
	select {
	case <-slowEnded:
		t.Error("the session ended before its answer")
	default:
	}
	close(goOn)
	if got := answer(slow); got != "done" {
		t.Errorf("answer %q", got)
	}
	<-slowEnded
}
