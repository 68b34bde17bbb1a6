package mailbox

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// maxHeader bounds how much of a header is read into memory.
const maxHeader = 256 << 10

// test is a condition ready to be evaluated.
type test struct {
	cost  int // 0 by the row, 1 by the header, 2 by the body
	want  Want
	match func(*candidate) (bool, error)
}

// byRow is a test that needs the row alone.
func byRow(match func(*Row) bool) test {
	return test{match: func(c *candidate) (bool, error) { return match(&c.row), nil }}
}

func sortTests(list []test) {
	slices.SortStableFunc(list, func(a, b test) int { return cmp.Compare(a.cost, b.cost) })
}

func (v *View) compile(q Query) test {
	switch q := q.(type) {
	case And:
		return v.compileList(q, false)
	case Or:
		return v.compileList(q, true)
	case Not:
		t := v.compile(q.Query)
		inner := t.match
		t.match = func(c *candidate) (bool, error) {
			ok, err := inner(c)
			return !ok, err
		}
		return t
	case UIDs:
		set := q.resolve(v.MaxUID())
		return byRow(func(r *Row) bool { return set.has(r.UID) })
	case Seqs:
		set := q.resolve(v.Count())
		return byRow(func(r *Row) bool { return set.has(r.Seq) })
	case HasFlags:
		return byRow(func(r *Row) bool { return r.Flags&Flags(q) == Flags(q) })
	case IsRecent:
		return byRow(func(r *Row) bool { return r.Recent })
	case HasKeyword:
		return byRow(func(r *Row) bool { return hasKeyword(r.Keywords, string(q)) })
	case Date:
		from, to := dayStart(q.From), dayStart(q.To)
		return byRow(func(r *Row) bool { return from <= r.Date && r.Date < to })
	case Sent:
		t := byRow(func(r *Row) bool { return q.From <= r.SentDay && r.SentDay < q.To })
		t.want = WantBody
		return t
	case Larger:
		return byRow(func(r *Row) bool { return r.Size > int64(q) })
	case Smaller:
		return byRow(func(r *Row) bool { return r.Size < int64(q) })
	case ChangedSince:
		return byRow(func(r *Row) bool { return r.Modseq >= int64(q) })
	case Header:
		needle := newNeedle(q.Contains)
		return test{cost: 1, want: WantBody, match: func(c *candidate) (bool, error) { return c.hasField(q.Name, needle) }}
	case Body:
		needle := newNeedle(string(q))
		return test{cost: 2, want: WantStructure, match: func(c *candidate) (bool, error) { return c.bodyHas(needle) }}
	case Text:
		needle := newNeedle(string(q))
		return test{cost: 2, want: WantStructure, match: func(c *candidate) (bool, error) {
			if ok, err := c.headerHas(needle); ok || err != nil {
				return ok, err
			}
			return c.bodyHas(needle)
		}}
	}
	return byRow(func(*Row) bool { return true }) // All
}

// compileList joins conditions: until is the answer of one that decides.
func (v *View) compileList(list []Query, until bool) test {
	tests := make([]test, len(list))
	all := test{}
	for i, q := range list {
		tests[i] = v.compile(q)
		all.cost, all.want = max(all.cost, tests[i].cost), all.want|tests[i].want
	}
	sortTests(tests)
	all.match = func(c *candidate) (bool, error) {
		for _, t := range tests {
			if ok, err := t.match(c); err != nil || ok == until {
				return ok, err
			}
		}
		return !until, nil
	}
	return all
}

// candidate is a message under test; it is opened when a test needs that.
type candidate struct {
	ctx    context.Context
	v      *View
	row    Row
	r      Reader
	header []byte
	lost   bool // the body is gone meanwhile
}

func (c *candidate) close() {
	if c.r != nil {
		_ = c.r.Close() // nothing was written
	}
}

// open opens the message and reports whether it is still there.
func (c *candidate) open() (bool, error) {
	if c.r != nil || c.lost {
		return !c.lost, nil
	}
	if err := c.ctx.Err(); err != nil {
		return false, err
	}
	r, err := c.v.Open(c.ctx, c.row)
	if errors.Is(err, blob.ErrNotFound) || errors.Is(err, blob.ErrCorrupt) {
		c.lost = true
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.r = r
	return true, nil
}

// readHeader reads a header within its bound.
func (c *candidate) readHeader(off, size int64) ([]byte, error) {
	head := make([]byte, min(size, maxHeader))
	n, err := c.r.ReadAt(head, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil
}

func (c *candidate) ownHeader() ([]byte, error) {
	if ok, err := c.open(); !ok || c.header != nil {
		return c.header, err
	}
	var err error
	c.header, err = c.readHeader(0, c.row.Header)
	return c.header, err
}

func (c *candidate) hasField(name string, n needle) (bool, error) {
	head, err := c.ownHeader()
	if err != nil {
		return false, err
	}
	for f := range mime.Header(head).All() {
		if strings.EqualFold(string(f.Name), name) && n.in(mime.DecodeWords(f.Text())) {
			return true, nil
		}
	}
	return false, nil
}

func (c *candidate) headerHas(n needle) (bool, error) {
	head, err := c.ownHeader()
	return err == nil && anyField(head, n), err
}

func anyField(head []byte, n needle) bool {
	for f := range mime.Header(head).All() {
		line := mime.Unfold(f.Raw)
		if len(f.Name) > 0 {
			line = string(f.Name) + ": " + mime.DecodeWords(f.Text())
		}
		if n.in(line) {
			return true
		}
	}
	return false
}

// bodyHas looks into all text of the body, and into the headers of messages in
// it.
func (c *candidate) bodyHas(n needle) (bool, error) {
	if n == "" {
		return true, nil
	}
	if ok, err := c.open(); !ok {
		return false, err
	}
	return c.partHas(c.row.Structure, n)
}

func (c *candidate) partHas(p *mime.Part, n needle) (bool, error) {
	if m := p.Embedded(); m != nil {
		head, err := c.readHeader(m.Offset, m.HeaderSize)
		if err != nil || anyField(head, n) {
			return err == nil, err
		}
	}
	for i := range p.Children {
		if ok, err := c.partHas(&p.Children[i], n); ok || err != nil {
			return ok, err
		}
	}
	if len(p.Children) > 0 || p.Type != "text" {
		return false, nil
	}
	return n.inReader(c.ctx, p.Text(io.NewSectionReader(c.r, p.BodyOffset(), p.BodySize)))
}
