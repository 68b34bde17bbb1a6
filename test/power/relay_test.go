package power_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/crash/readback"
	"github.com/hayauma/hayauma/test/power"
)

// dots finds, for each recipient that the other host took, the line on which the
// server wrote the first final dot to it: up to there the host cannot have the
// message.
func dots(t *testing.T, rec *power.Record, taken []testkit.MXMessage) map[string]int {
	t.Helper()
	recipient, messageID := regexp.MustCompile(`RCPT TO:<([^>]+)>`), regexp.MustCompile(`(?m)^Message-ID: (<[^>]+>)\r$`)
	sessions, lines := map[string][]byte{}, map[string]int{}
	for _, reply := range rec.Replies {
		if bytes.Contains(reply.Text, []byte("MAIL FROM:<")) {
			sessions[reply.Socket] = nil
		} else if _, ours := sessions[reply.Socket]; !ours {
			continue
		}
		text := append(sessions[reply.Socket], reply.Text...)
		sessions[reply.Socket] = text
		id := messageID.FindSubmatch(text)
		if id == nil || !bytes.HasSuffix(text, []byte("\r\n.\r\n")) {
			continue
		}
		for _, r := range recipient.FindAllSubmatch(text, -1) {
			if key := string(id[1]) + " " + string(r[1]); lines[key] == 0 {
				lines[key] = reply.Line
			}
		}
		delete(sessions, reply.Socket)
	}
	for _, m := range taken {
		for _, r := range m.Recipients {
			if key := readback.Field(m.Data, "Message-ID") + " " + r.Address; lines[key] == 0 {
				t.Errorf("the record lacks the final dot of %s", key)
			}
		}
	}
	return lines
}

// readSink counts what the other host got after the cut.
func (f *found) readSink(messages []testkit.MXMessage) (err error) {
	for _, m := range messages {
		id, torn := readback.Verify(m.Data)
		if torn != nil {
			err = errors.Join(err, fmt.Errorf("relayed %s: %w", id, torn))
		}
		for _, r := range m.Recipients {
			f.again[id+" "+r.Address]++
		}
	}
	return err
}

// relayed tells whether the other host has the message, or had it, and the server
// knows of exactly one delivery. A result that was durable at the cut would make
// that two if the message went out once more; one that is there although the
// message never left is a lie.
func (f *found) relayed(message, id, recipient string) bool {
	stories, err := f.trace(message)
	if err != nil || len(stories) != 1 {
		return false
	}
	results := slices.DeleteFunc(stories[0].Events, func(e event.Event) bool { return e.Kind != event.Delivered || e.Recipient != recipient })
	key := id + " " + recipient
	before := f.sent[key] != 0 && f.sent[key] <= f.line
	switch {
	case len(results) != 1, f.again[key] > 1, f.queue[message+" "+recipient] > 0:
		return false
	case f.again[key] == 0:
		return before
	case before:
		f.twice++
	}
	return true
}
