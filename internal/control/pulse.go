package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hayauma/hayauma/internal/socket"
)

// A call may take as long as its work does. But the kernel takes connections for a server
// that was stopped or hangs as well: while a call waits, the client asks from time to time,
// on a connection of its own, for a sign of life.
const (
	signEvery  = 10 * time.Second
	signWithin = 20 * time.Second
)

// silentError says that the server gave no sign of life for a time.
type silentError struct {
	process int // 0 = it is not known
	since   time.Duration
}

func (e *silentError) Error() string {
	who, look := "the server", "look at its process and restart it"
	if e.process != 0 {
		who = fmt.Sprintf("the server (process %d)", e.process)
		look = fmt.Sprintf("look at it with 'ps -o pid,stat,cmd -p %d', let it go on with 'kill -CONT %d' or restart it", e.process, e.process)
	}
	return fmt.Sprintf("%s does not answer on its admin socket, and gave no sign of life for %v: it is stopped or hangs; %s; "+
		"what was asked may still be done then", who, e.since, look)
}

func (e *silentError) Unwrap() error { return ErrNoAnswer }

// pulse is how a client knows that its server lives.
type pulse struct {
	path          string // of its socket; empty = it works in this process
	every, within time.Duration
}

// watch returns a context that ends, with a *silentError, once the server gives no more
// signs of life, and what ends the watch.
func (c *Client) watch(ctx context.Context) (watched context.Context, stop func()) {
	watched, end := context.WithCancelCause(ctx)
	if c.pulse.path == "" {
		return watched, func() { end(nil) }
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(c.pulse.every):
			case <-watched.Done():
				return
			}
			if c.silent(watched) {
				end(&silentError{process: c.pulse.process(watched), since: c.pulse.every + c.pulse.within})
			}
		}
	}()
	return watched, func() {
		end(nil)
		<-ended
	}
}

// silent asks for what no server has: any answer is a sign of life, that there is nobody is
// one too, since a server that stops ends its calls itself.
func (c *Client) silent(watched context.Context) bool {
	ctx, cancel := context.WithTimeout(watched, c.pulse.within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://hayauma/", nil)
	if err != nil {
		return false
	}
	req.Close = true
	resp, err := c.http.Do(req)
	if err == nil {
		_ = resp.Body.Close() // HEAD has none
	}
	return errors.Is(err, context.DeadlineExceeded) && watched.Err() == nil
}

// process is who listens on the socket; 0 = it cannot be told.
func (p pulse) process(ctx context.Context) int {
	d := net.Dialer{Timeout: p.within}
	conn, err := d.DialContext(ctx, "unix", p.path)
	if err != nil {
		return 0
	}
	defer func() { _ = conn.Close() }() // nothing was said
	return socket.Peer(conn)
}
