package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/wire/imap"
)

// fetch serves FETCH and UID FETCH (RFC 3501 §6.4.5).
func fetch(ctx context.Context, s *session, req imap.Fetch) reply {
	uids, err := s.uids(req.Set, req.UID)
	if err != nil {
		return s.failed("FETCH", err)
	}
	f := newFetching(s, req)
	defer f.release()
	if f.marks {
		err = f.markAll(ctx, uids)
	} else {
		err = s.sel.view.Rows(ctx, uids, f.want, func(row mailbox.Row) error { return f.message(ctx, &row) })
	}
	switch {
	case s.enc.Err() != nil:
		return ok("") // nobody hears it: the loop ends the session
	case err != nil:
		return s.failed("FETCH", err)
	case f.broken > 0:
		return no(imap.CodeUnavailable, "Some of the messages cannot be read right now")
	case !req.UID && f.found < len(uids):
		return gone()
	}
	return ok("Done")
}

// fetching is one FETCH.
type fetching struct {
	s     *session
	items []imap.FetchItem
	want  mailbox.Want
	reads bool // some item needs the bytes of the message
	marks bool // it sets \Seen
	flags bool // FLAGS is among the items
	found int  // messages answered, or broken
	// broken counts messages whose bytes cannot be had.
	broken int

	wire  []imap.Flag // the flags of the message at hand
	piece *[]byte
}

func newFetching(s *session, req imap.Fetch) *fetching {
	f := &fetching{s: s, items: req.Items}
	hasUID := false
	for _, item := range req.Items {
		switch item.Kind {
		case imap.FetchUID:
			hasUID = true
		case imap.FetchFlags:
			f.flags = true
		case imap.FetchEnvelope, imap.FetchBody, imap.FetchBodyStructure:
			f.want |= mailbox.WantStructure
		}
		if sec, reads := content(item); reads {
			f.reads = true
			f.want |= mailbox.WantBody
			if len(sec.Path) > 0 {
				f.want |= mailbox.WantStructure
			}
		}
		f.marks = f.marks || item.SetsSeen() && !s.sel.view.ReadOnly()
	}
	if req.UID && !hasUID {
		// RFC 3501 §6.4.8
		f.items = append([]imap.FetchItem{{Kind: imap.FetchUID}}, f.items...)
	}
	return f
}

func (f *fetching) release() {
	if f.piece != nil {
		f.s.srv.pieces.Put(f.piece)
	}
}

// markSlice is how many messages are marked \Seen in one commit.
const markSlice = 64

// markAll answers for messages, slice by slice, whose \Seen is set first.
func (f *fetching) markAll(ctx context.Context, uids []uint32) error {
	for len(uids) > 0 {
		part := uids[:min(len(uids), markSlice)]
		uids = uids[len(part):]
		if err := f.markSlice(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetching) markSlice(ctx context.Context, uids []uint32) error {
	view := f.s.sel.view
	rows := make([]mailbox.Row, 0, len(uids))
	var unseen []uint32
	err := view.Rows(ctx, uids, f.want, func(row mailbox.Row) error {
		rows = append(rows, row)
		if row.Flags&mailbox.Seen == 0 {
			unseen = append(unseen, row.UID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	marked := make(map[uint32]mailbox.Row, len(unseen))
	if len(unseen) > 0 {
		changed, err := view.Store(ctx, unseen, mailbox.Add, mailbox.Seen, nil)
		if err != nil {
			return fmt.Errorf("mark as seen: %w", err)
		}
		for _, row := range changed {
			marked[row.UID] = row
		}
	}
	asked := f.flags
	for i := range rows {
		row := &rows[i]
		now, changed := marked[row.UID]
		if changed {
			row.Flags, row.Keywords = now.Flags, now.Keywords
		}
		f.flags = asked || changed
		if err := f.message(ctx, row); err != nil {
			return err
		}
	}
	f.flags = asked
	return nil
}

// message writes the response for one message.
func (f *fetching) message(ctx context.Context, row *mailbox.Row) error {
	f.found++
	var r mailbox.Reader
	if f.reads {
		var err error
		if r, err = f.open(ctx, row); r == nil {
			return err
		}
		defer func() { _ = r.Close() }() // it was only read
	}
	if f.flags {
		f.s.announce(row.Keywords)
	}
	e := f.s.enc
	e.BeginFetch(row.Seq)
	told := false
	for _, item := range f.items {
		told = told || item.Kind == imap.FetchFlags
		if err := f.item(item, row, r); err != nil {
			return err
		}
	}
	if f.flags && !told {
		f.writeFlags(row)
	}
	e.EndFetch()
	return e.Err()
}

// open opens a message. Where the body alone is at fault, the reader is nil
// and so is the error, and the others go on.
func (f *fetching) open(ctx context.Context, row *mailbox.Row) (mailbox.Reader, error) {
	r, err := f.s.sel.view.Open(ctx, *row)
	if err == nil && r.Size() != row.Size {
		_ = r.Close() // it was only read
		err = fmt.Errorf("%w: %d octets instead of %d", blob.ErrCorrupt, r.Size(), row.Size)
	}
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, blob.ErrNotFound), errors.Is(err, blob.ErrCorrupt):
		f.spoilt(row, err)
		return nil, nil
	}
	return nil, err
}

func (f *fetching) spoilt(row *mailbox.Row, err error) {
	f.broken++
	f.s.log.Error("message cannot be read", "message", row.Message.String(), "error", err)
}

// item writes one item.
func (f *fetching) item(item imap.FetchItem, row *mailbox.Row, r mailbox.Reader) error {
	e := f.s.enc
	switch item.Kind {
	case imap.FetchFlags:
		f.writeFlags(row)
	case imap.FetchUID:
		e.FetchUID(row.UID)
	case imap.FetchInternalDate:
		e.FetchInternalDate(time.UnixMicro(row.Date).UTC())
	case imap.FetchSize:
		e.FetchSize(row.Size)
	case imap.FetchEnvelope:
		e.FetchEnvelope(row.Structure.Envelope)
	case imap.FetchBody:
		e.FetchBody(row.Structure)
	case imap.FetchBodyStructure:
		e.FetchBodyStructure(row.Structure)
	default:
		return f.text(item, row, r)
	}
	return nil
}

func (f *fetching) writeFlags(row *mailbox.Row) {
	f.wire = wireFlags(f.wire[:0], row)
	f.s.enc.FetchFlags(f.wire)
}

// text writes a section. A text that fits is read before its size is said, so
// that an error can still be told; a larger one streams, and breaks the
// session off if it cannot be read to its end.
func (f *fetching) text(item imap.FetchItem, row *mailbox.Row, r mailbox.Reader) error {
	sec, _ := content(item)
	where, found := locate(sec, row)
	if !found {
		f.s.enc.FetchNil(item)
		return nil
	}
	if sec.Specifier == imap.SectionFields || sec.Specifier == imap.SectionFieldsNot {
		text, err := fields(r, where, sec)
		if err != nil {
			f.spoilt(row, err)
			f.s.enc.FetchNil(item)
			return nil
		}
		piece := extent{size: int64(len(text))}.cut(item.Partial)
		f.s.enc.FetchText(item, text[piece.off:piece.off+piece.size])
		return nil
	}
	where = where.cut(item.Partial)
	if where.size > pieceSize {
		source := &source{Reader: io.NewSectionReader(r, where.off, where.size)}
		err := f.s.enc.FetchStream(item, where.size, source)
		if source.err != nil {
			f.spoilt(row, source.err)
		}
		return err
	}
	if f.piece == nil {
		f.piece, _ = f.s.srv.pieces.Get().(*[]byte)
	}
	text := (*f.piece)[:where.size]
	if err := readFull(r, text, where.off); err != nil {
		f.spoilt(row, err)
		f.s.enc.FetchNil(item)
		return nil
	}
	f.s.enc.FetchText(item, text)
	return nil
}

// source remembers why a text could not be read to its end, which is our fault
// and not the peer's.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
