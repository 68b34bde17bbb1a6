package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// A connection that arrives while the server goes down has its session end,
// whichever of the two comes first.
func TestWebEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWeb(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	t.Cleanup(w.start())
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		client, server := net.Pipe()
		ended := make(chan struct{})
		go func() {
			w.serve(ctx, server)
			_ = server.Close() // as the listener does
			close(ended)
		}()
		cancel()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Fatal("the session does not end")
		}
		if _, err := io.ReadAll(client); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A peer that only connects is not kept for ever, and one that goes away ends
// its session.
func TestWebEndsWithItsPeer(t *testing.T) {
	t.Parallel()
	w := newWeb(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	t.Cleanup(w.start())
	client, server := net.Pipe()
	ended := make(chan struct{})
	go func() {
		w.serve(t.Context(), server)
		close(ended)
	}()
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the session does not end")
	}
}
