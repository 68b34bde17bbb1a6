package imapd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// idle serves IDLE (RFC 2177). The loop sleeps in a read, from which it is
// poked when the mailbox may have changed.
func idle(ctx context.Context, s *session, _ imap.Idle) reply {
	s.enc.Continue("idling")
	s.conn.expect(wait{until: time.Now().Add(s.settings().IdleTimeout)})
	if s.sel != nil {
		s.sel.view.OnChange(s.conn.poke)
		defer func() {
			s.sel.view.OnChange(nil)
			s.conn.calm()
		}()
	}
	for {
		if r, _ := s.ended(ctx); r.close {
			return r
		}
		if s.sel != nil {
			switch err := s.tell(ctx, true); {
			case errors.Is(err, mailbox.ErrNoMailbox):
				return hangUp("The mailbox was deleted")
			case err != nil:
				s.unseen(err) // the next change brings it up to date
			}
		}
		err := s.awaitLine()
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !s.conn.calm() {
			return brokenOff(err)
		}
	}
	line, err := s.dec.ReadLine()
	switch {
	case err != nil:
		return brokenOff(err)
	case !strings.EqualFold(line, "DONE"):
		return bad("Expected DONE")
	}
	return ok("Done")
}

// awaitLine waits until a line is there to be read, or one too long to wait
// for. Unlike a read of the decoder it may fail and be tried again.
func (s *session) awaitLine() error {
	for n := 1; n <= s.in.Size(); n = s.in.Buffered() + 1 {
		_, err := s.in.Peek(n)
		// Peek may have read more than it was asked for.
		got, _ := s.in.Peek(s.in.Buffered())
		if bytes.IndexByte(got, '\n') >= 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
