package imapd

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// appendMessage serves APPEND (RFC 3501 §6.3.11, RFC 4315 §3). What can be
// refused is refused before the message is asked for.
func appendMessage(ctx context.Context, s *session, req imap.Append) reply {
	flags, keywords, valid := storeFlags(req.Flags)
	if !valid {
		return s.refuse(req.Message, badFlag())
	}
	if req.Message.Size == 0 {
		return s.refuse(req.Message, no(imap.CodeCannot, "An empty message cannot be kept"))
	}
	a, err := s.srv.o.Mailboxes.Append(ctx, s.account.ID, req.Mailbox)
	if err != nil {
		return s.refuse(req.Message, s.failedTarget("APPEND", err))
	}
	defer a.Abort()
	s.conn.expect(wait{each: s.settings().DataTimeout, busy: true})
	r, kept := s.receive(a, req.Message)
	if !kept {
		return r
	}
	validity, uid, err := a.Commit(ctx, flags, keywords, internalDate(req.Date))
	if err != nil {
		return s.failedTarget("APPEND", err)
	}
	return reply{result: imap.OK, code: imap.CodeAppendUID(validity, uid), text: "Message kept"}
}

// refuse answers without the message.
func (s *session) refuse(m *imap.Literal, r reply) reply {
	s.conn.expect(wait{each: s.settings().DataTimeout, busy: true})
	if err := m.Refuse(); err != nil {
		return brokenOff(err)
	}
	return r
}

// receive reads the message into the store; if it is not kept, r says why.
func (s *session) receive(a *mailbox.Append, m *imap.Literal) (r reply, kept bool) {
	piece, _ := s.srv.pieces.Get().(*[]byte)
	defer s.srv.pieces.Put(piece)
	for {
		n, err := m.Read(*piece)
		if n > 0 {
			if _, err := a.Write((*piece)[:n]); err != nil {
				return s.refuse(m, s.failedTarget("APPEND", err)), false
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return brokenOff(err), false
		}
	}
	err := m.Finish()
	if syntax, ok := errors.AsType[*imap.SyntaxError](err); ok {
		return bad(syntax.Text), false
	}
	if err != nil {
		return brokenOff(err), false
	}
	return reply{}, true
}

// internalDate is when a message came, 0 for now.
func internalDate(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return mail.Micros(t)
}
