package history

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// content is the text of a message.
type content struct {
	number    int
	header    string // with its blank line
	body      string
	subject   string // as people read it
	messageID string
	refs      []string // Message-IDs, nearest first
	day       int64    // of its Date field in days since 1970, -1 without one
	trace     int      // octets of our Received field before the header; 0 = none
}

// text is the content as its sender wrote it.
func (c *content) text() string { return c.header + c.body }

func (c *content) size() int64 { return int64(c.trace + len(c.header) + len(c.body)) }

// The words that searches look for. No id and no field of ours holds them.
func searchWords() []string {
	return []string{"Lorem", "Ipsum", "Dolor", "Oboe", "Utopia", "Polio"}
}

// baseDay is the first of the days on which messages are dated.
const (
	baseDay  = 19500 // in 2023
	days     = 20
	dayMicro = 24 * 60 * 60 * 1_000_000
)

// newContent writes a message. Some have a Date field, some answer others.
func (m *model) newContent(r *rand.Rand, refs []string) *content {
	m.contentsMade++
	words := searchWords()
	word := func() string { return words[r.IntN(len(words))] }
	c := &content{number: m.contentsMade, refs: refs, day: -1}
	c.messageID = fmt.Sprintf("<c%d@content.test>", c.number)
	c.subject = word() + " " + word()
	subject := c.subject
	if r.IntN(5) == 0 {
		c.subject, subject = "Grüße "+c.subject, "=?utf-8?q?Gr=C3=BC=C3=9Fe?= "+subject
	}
	var h strings.Builder
	h.WriteString("From: Writer <w@content.test>\r\nSubject: " + subject + "\r\nMessage-ID: " + c.messageID + "\r\n")
	if r.IntN(2) == 0 {
		c.day = baseDay + int64(r.IntN(days))
		at := time.Unix(c.day*24*60*60, 0).UTC().Add(time.Duration(r.IntN(24)) * time.Hour)
		h.WriteString("Date: " + at.Format(time.RFC1123Z) + "\r\n")
	}
	if len(refs) > 0 {
		h.WriteString("In-Reply-To: " + refs[0] + "\r\n")
	}
	for i := len(refs) - 1; i > 0; i-- {
		if i == len(refs)-1 {
			h.WriteString("References:")
		}
		h.WriteString(" " + refs[i])
		if i == 1 {
			h.WriteString("\r\n")
		}
	}
	c.header = h.String() + "\r\n"
	for range r.IntN(20) {
		c.body += word() + " " + word() + "\r\n"
	}
	return c
}

// peer is how the sender of all mail that intake takes names itself.
const peer = "client.test"

// traced is the length of our Received field for some recipients.
func traced(to []string) int {
	id := mail.ID(1).String()
	n := len("Received: from " + peer + " ([192.0.2.7])\r\n\tby " + hostname + " with ESMTP id " + id)
	if len(to) == 1 && address(to[0]).IsASCII() {
		n += len("\r\n\tfor <" + address(to[0]).ASCII() + ">")
	}
	return n + len(";\r\n\t"+time.RFC1123Z+"\r\n")
}

// ownPrefix is what stands before the content in a copy that intake files.
func ownPrefix(from, to string) string {
	return "Return-Path: <" + address(from).Header() + ">\r\nDelivered-To: " + address(to).Header() + "\r\n"
}

// address reads an address of the test's own; the null path is the empty one.
func address(text string) mail.Address {
	a, err := mail.ParseAddress(text)
	if err != nil && text != "" {
		return mail.Address{Local: "misspelt " + text}
	}
	return a
}
