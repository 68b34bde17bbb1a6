package imap_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

const appendDate = `" 7-Feb-2026 21:52:25 -0800"`

func readAppend(t *testing.T, c *client) imap.Append {
	t.Helper()
	cmd, err := c.ReadCommand()
	if err != nil {
		t.Fatal(err)
	}
	req, ok := cmd.Request.(imap.Append)
	if !ok {
		t.Fatalf("%T", cmd.Request)
	}
	return req
}

func TestAppend(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("x\x00\r\n", 300)
	for name, head := range map[string]string{
		"sync": `{1200}`, "non-sync": `{1200+}`,
	} {
		c := newClient(`a1 APPEND "Sent" (\seen x) ` + appendDate + " " + head + "\r\n" + body + "\r\nb2 NOOP\r\n")
		req := readAppend(t, c)
		if c.asked != 0 {
			t.Fatalf("%s: consent before the first Read", name)
		}
		want := time.Date(2026, time.February, 7, 21, 52, 25, 0, time.FixedZone("", -8*3600))
		if req.Mailbox != "Sent" || !req.Date.Equal(want) || req.Message.Size != 1200 {
			t.Fatalf("%s: %+v", name, req)
		}
		if diff := cmp.Diff([]imap.Flag{imap.FlagSeen, "x"}, req.Flags); diff != "" {
			t.Fatal(diff)
		}
		got, err := io.ReadAll(req.Message)
		if err != nil || string(got) != body {
			t.Fatalf("%s: %d octets, %v", name, len(got), err)
		}
		if err := req.Message.Finish(); err != nil {
			t.Fatal(err)
		}
		if asked := c.asked == 1; asked != req.Message.Sync {
			t.Fatalf("%s: asked %d times", name, c.asked)
		}
		wantNext(t, c)
	}
}

func TestAppendOfNothing(t *testing.T) {
	t.Parallel()
	c := newClient("a1 APPEND a {0}\r\n\r\nb2 NOOP\r\n")
	req := readAppend(t, c)
	if n, err := req.Message.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	if err := req.Message.Finish(); err != nil || c.asked != 1 {
		t.Fatal(err, c.asked)
	}
	wantNext(t, c)
}

func TestAppendRefused(t *testing.T) {
	t.Parallel()
	c := newClient("a1 APPEND a {5}\r\nb2 NOOP\r\n")
	if err := readAppend(t, c).Message.Refuse(); err != nil || c.asked != 0 {
		t.Fatal(err, c.asked)
	}
	wantNext(t, c)

	c = newClient("a1 APPEND a {5+}\r\nhello\r\nb2 NOOP\r\n")
	if err := readAppend(t, c).Message.Refuse(); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c)
}

func TestAppendLeftAloneIsReadPast(t *testing.T) {
	t.Parallel()
	c := newClient("a1 APPEND a {5+}\r\nhello\r\nb2 NOOP\r\n")
	readAppend(t, c)
	wantNext(t, c)

	c = newClient("a1 APPEND a {5}\r\nhello\r\nb2 NOOP\r\n")
	if _, err := readAppend(t, c).Message.Read(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	wantNext(t, c)
}

func TestAppendWithMoreBehindTheMessage(t *testing.T) {
	t.Parallel()
	c := newClient("a1 APPEND a {5+}\r\nhello {3+}\r\nabc\r\nb2 NOOP\r\n")
	err := readAppend(t, c).Message.Finish()
	syntax, ok := errors.AsType[*imap.SyntaxError](err)
	if !ok || syntax.Tag != "a1" || syntax.Result != imap.BAD {
		t.Fatal(err)
	}
	wantNext(t, c)
}

func TestAppendCutShort(t *testing.T) {
	t.Parallel()
	c := newClient("a1 APPEND a {5+}\r\nhel")
	if _, err := io.ReadAll(readAppend(t, c).Message); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if _, err := c.ReadCommand(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	c = newClient("a1 APPEND a {5+}\r\nhello")
	if err := readAppend(t, c).Message.Finish(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
}
