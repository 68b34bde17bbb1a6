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
// the signature that it gets here (RFC 6376 §5.3, RFC 6409 §8.4). What has a DKIM
// signature already stays as it is, and so does what cannot be converted, like a header
// in UTF-8 or 8-bit text that is signed; text beside a signed part can be. Of mail that is
// to leave, header lines that are too long are folded, unless they are signed.
func (t *Transaction) toSevenBit() *mail.Fault {
	c := &t.content
	defer func() { t.env.EightBit = c.high }()
	if c.ruler.long && len(t.remote) > 0 {
		if fault := t.fold(); fault != nil {
			return fault
		}
	}
	if !c.high && !c.ruler.long {
		return nil
	}
	src, report, fault := c.inspect()
	if fault != nil || report.DKIM {
		return fault
	}
	plan, err := report.Plan(src)
	if _, obstacle := errors.AsType[sevenbit.Obstacle](err); obstacle {
		return nil
	}
	if err != nil {
		return storeFault(err)
	}
	c.high, c.ruler.long = false, false
	return t.rewrite(plan)
}

// fold breaks the header lines that other hosts need not take, which no transfer
// encoding reaches (RFC 5322 §2.1.1, RFC 6409 §8).
func (t *Transaction) fold() *mail.Fault {
	c := &t.content
	src, report, fault := c.inspect()
	if fault != nil {
		return fault
	}
	plan, err := report.Fold(src)
	switch {
	case errors.Is(err, sevenbit.BadHeader):
		return mail.Final(mail.ContentOther, "A header line has over 998 octets, and cannot be folded, since it is signed or has no white space: shorten or fold it first")
	case errors.Is(err, sevenbit.TooComplex): // whoever relays it will tell
		return nil
	case err != nil:
		return storeFault(err)
	case !plan.Changes():
		return nil
	}
	if fault := t.rewrite(plan); fault != nil {
		return fault
	}
	if _, report, fault = c.inspect(); fault == nil {
		c.ruler.long = report.Header.Long || report.Body.Long
	}
	return fault
}

func (c *content) inspect() (*io.SectionReader, *sevenbit.Report, *mail.Fault) {
	src, err := c.writer.Reader()
	if err != nil {
		return nil, nil, storeFault(err)
	}
	report, err := sevenbit.Inspect(src, src.Size())
	if err != nil {
		return nil, nil, storeFault(err)
	}
	return src, report, nil
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
	c.writer, c.parser = w, parser
	return nil
}
