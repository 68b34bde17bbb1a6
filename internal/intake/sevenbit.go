package intake

import (
	"errors"
	"io"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/mime/sevenbit"
)

// ours tells whether one of our own users sends the message.
func (t *Transaction) ours() bool {
	return t.origin.Door == mail.DoorSubmission && t.origin.Account != 0
}

// toSevenBit makes what one of our users sends 7-bit, with lines that every host
// takes, before it is stored, so that no host on its way has to, which would break
// the signature that it gets here (RFC 6376 §5.3, RFC 6409 §8.4). What carries a
// signature or an encryption already stays as it is, and so does what cannot be
// converted, like a header in UTF-8.
func (t *Transaction) toSevenBit() *mail.Fault {
	c := &t.content
	defer func() { t.env.EightBit = c.high }()
	if !c.high && !c.ruler.long {
		return nil
	}
	src, err := c.writer.Reader()
	if err != nil {
		return storeFault(err)
	}
	report, err := sevenbit.Inspect(src, src.Size())
	if err != nil {
		return storeFault(err)
	}
	if report.Sealed() {
		return nil
	}
	plan, err := report.Plan(src)
	if _, obstacle := errors.AsType[sevenbit.Obstacle](err); obstacle {
		return nil
	}
	if err != nil {
		return storeFault(err)
	}
	return t.rewrite(plan)
}

// rewrite puts the converted message in the place of the one that came.
func (t *Transaction) rewrite(plan *sevenbit.Plan) *mail.Fault {
	c := &t.content
	w, parser := t.in.o.Blobs.Create(), c.parser
	var to io.Writer = w
	if parser != nil {
		parser = t.newParser()
		to = io.MultiWriter(w, parser)
	}
	if _, err := plan.WriteTo(to); err != nil {
		w.Abort()
		return storeFault(err)
	}
	c.writer.Abort()
	c.writer, c.parser, c.high, c.ruler.long = w, parser, false, false
	return nil
}
