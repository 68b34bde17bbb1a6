package smuggling

import (
	"fmt"
	"strings"
)

// door is where a trial comes in.
type door int

const (
	onSMTP door = iota
	onTLS       // SMTP behind STARTTLS
	onLMTP
)

// step is what is written, piece by piece, before all of its replies are read.
type step struct {
	writes, replies []string
}

// trial is one message that is sent.
type trial struct {
	id      string // the local part of its sender
	way     string
	v       string
	door    door
	relayed bool
	steps   []step
	wire    string // its content as it is sent
	content string // as it must be kept
	fine    bool   // it must be accepted
}

// failures is how many replies of it are errors.
func (tr trial) failures() int {
	n := 0
	for _, s := range tr.steps {
		for _, r := range s.replies {
			if r[0] >= '4' {
				n++
			}
		}
	}
	return n
}

const (
	refused  = "550 5.5.2 "
	noNUL    = "554 5.6.0 "
	either   = "55" // whichever of the two was seen first
	accepted = "250 2.0.0 Accepted as "
	inStep   = "250 2.0.0 Ok"
)

// verdict is what is said to a content.
func verdict(content string) string {
	nul := strings.Contains(content, "\x00")
	switch ends := wellFormed(content); {
	case ends && nul:
		return noNUL
	case ends:
		return accepted
	case nul:
		return either
	}
	return refused
}

// envelope is to alice, and to one recipient elsewhere or over LMTP another one
// here.
func (tr trial) envelope() (text string, replies []string) {
	text = "MAIL FROM:<" + tr.id + "@c.test>\r\nRCPT TO:<alice@a.test>\r\n"
	replies = []string{"250 2.1.0 ", "250 2.1.5 "}
	switch {
	case tr.door == onLMTP:
		return text + "RCPT TO:<bob@a.test>\r\n", append(replies, "250 2.1.5 ")
	case tr.relayed:
		return text + "RCPT TO:<x@b.test>\r\n", append(replies, "250 2.1.5 ")
	}
	return text, replies
}

// judged is the verdict on a whole content: over LMTP one for each recipient.
func (tr trial) judged() []string {
	said := verdict(tr.wire)
	if tr.door == onLMTP {
		return []string{said, said}
	}
	return []string{said}
}

// data sends pieces of a content behind DATA, pipelined. With wait, the pieces
// come when the server asks for them.
func (tr trial) data(wait bool, pieces ...string) trial {
	wire := strings.Join(pieces, "")
	tr.wire, tr.fine, tr.content = wire, verdict(wire) == accepted, unstuffed(wire)
	text, replies := tr.envelope()
	text += "DATA\r\n"
	replies = append(replies, "354 ")
	pieces[len(pieces)-1] += ".\r\nNOOP\r\n"
	end := append(tr.judged(), inStep)
	if wait {
		tr.steps = []step{{[]string{text}, replies}, {pieces, end}}
		return tr
	}
	pieces[0] = text + pieces[0]
	tr.steps = []step{{pieces, append(replies, end...)}}
	return tr
}

// bdat sends each piece as a chunk, all in one write.
func (tr trial) bdat(pieces ...string) trial {
	tr.wire = strings.Join(pieces, "")
	tr.content, tr.fine = tr.wire, verdict(tr.wire) == accepted
	if !strings.HasSuffix(tr.content, "\r\n") {
		tr.content += "\r\n"
	}
	text, replies := tr.envelope()
	lost := false
	for i, piece := range pieces {
		last := i == len(pieces)-1
		text += fmt.Sprintf("BDAT %d", len(piece))
		if last {
			text += " LAST"
		}
		text += "\r\n" + piece
		switch {
		case lost:
			replies = append(replies, "503 5.5.1 ")
		case last:
			replies = append(replies, tr.judged()...)
		default:
			said := verdict(strings.TrimSuffix(strings.Join(pieces[:i+1], ""), "\r"))
			if lost = said != accepted; !lost {
				said = fmt.Sprintf("250 2.0.0 %d octets", len(piece))
			}
			replies = append(replies, said)
		}
	}
	tr.steps = []step{{[]string{text + "NOOP\r\n"}, append(replies, inStep)}}
	return tr
}

// split cuts a text at places.
func split(text string, at ...int) []string {
	var out []string
	from := 0
	for _, i := range at {
		out = append(out, text[from:i])
		from = i
	}
	return append(out, text[from:])
}

// way is one way to send a variant.
type way struct {
	name string
	door door
	// chunked: what holds the legal end is content like any other.
	chunked bool
	// relayed: it also goes on. How a content came in makes no difference there.
	relayed bool
	place   func(v string) []content
	send    func(next func() trial, c content) []trial
}

// once makes one trial.
func once(send func(blank trial, c content) trial) func(func() trial, content) []trial {
	return func(next func() trial, c content) []trial { return []trial{send(next(), c)} }
}

// perCut makes a trial for each cut around the variant.
func perCut(send func(blank trial, pieces []string) trial) func(func() trial, content) []trial {
	return func(next func() trial, c content) []trial {
		var out []trial
		for _, at := range c.cuts() {
			out = append(out, send(next(), split(c.text(), at)))
		}
		return out
	}
}

func whole(blank trial, c content) trial      { return blank.data(false, c.text()) }
func wholeChunk(blank trial, c content) trial { return blank.bdat(c.text()) }

func octetChunks(blank trial, c content) trial { return blank.bdat(split(c.text(), c.cuts()...)...) }

func waiting(blank trial, c content) trial { return blank.data(true, c.text()) }

func octets(blank trial, c content) trial {
	return blank.data(false, split(c.text(), c.cuts()...)...)
}

func segments(blank trial, pieces []string) trial { return blank.data(true, pieces...) }
func records(blank trial, pieces []string) trial  { return blank.data(false, pieces...) }
func chunks(blank trial, pieces []string) trial   { return blank.bdat(pieces...) }

func unended(blank trial, c content) trial { return blank.bdat(c.head + c.v) }

// ways are all ways.
func ways() []way {
	return []way{
		{"DATA", onSMTP, false, true, everywhere, once(whole)},
		{"DATA, when asked for", onSMTP, false, false, atStart, once(waiting)},
		{"DATA in segments", onSMTP, false, false, inBody, perCut(segments)},
		{"DATA in TLS records", onTLS, false, false, inBody, perCut(records)},
		{"DATA octet by octet from the start", onTLS, false, false, atStart, once(octets)},
		{"DATA octet by octet", onTLS, false, false, inBody, once(octets)},
		{"DATA behind a line that fills the buffer", onSMTP, false, false, afterLong, once(whole)},
		{"BDAT", onSMTP, true, true, everywhere, once(wholeChunk)},
		{"BDAT without a last line end", onSMTP, true, true, inBody, once(unended)},
		{"BDAT across the parts of what goes out", onSMTP, true, true, acrossChunks, once(wholeChunk)},
		{"BDAT in chunks", onSMTP, true, false, inBody, perCut(chunks)},
		{"BDAT octet by octet", onSMTP, true, false, inBody, once(octetChunks)},
		{"LMTP, DATA", onLMTP, false, false, inBody, once(whole)},
		{"LMTP, BDAT", onLMTP, true, false, inBody, once(wholeChunk)},
		{"LMTP, BDAT octet by octet", onLMTP, true, false, inBody, once(octetChunks)},
	}
}

// trials are those of all ways.
func trials() []trial {
	var out []trial
	number := 0
	for _, w := range ways() {
		for _, v := range variants() {
			for _, c := range w.place(v) {
				if c.legal() && !w.chunked {
					continue
				}
				next := func() trial {
					number++
					return trial{id: fmt.Sprintf("t%d", number), way: w.name, v: v, door: w.door, relayed: w.relayed}
				}
				out = append(out, w.send(next, c)...)
			}
		}
	}
	return out
}
