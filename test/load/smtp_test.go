package load_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hayauma/hayauma/test/load"
)

func startSink(t *testing.T) *load.Sink {
	t.Helper()
	s := &load.Sink{Addr: "127.0.0.1:0"}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestSourceReachesSink(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		source load.Source
	}{
		{"one message", load.Source{}},
		{"step by step", load.Source{Conns: 8, PerConn: 7, Messages: 500}},
		{"pipelined", load.Source{Conns: 8, PerConn: 7, Messages: 500, Pipeline: true}},
		{"many recipients", load.Source{Conns: 3, Messages: 50, Mailboxes: 20, Rcpts: 5, Pipeline: true}},
		{"smallest message", load.Source{Messages: 3, Size: 1}},
		{"larger than the sink's buffer", load.Source{Conns: 2, Messages: 6, Size: 300_000}},
		{"connections start one by one", load.Source{Conns: 4, Messages: 40, Ramp: time.Millisecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sink := startSink(t)
			src := tc.source
			src.Addr = sink.Address()
			seen := map[string]bool{}
			src.OnAccepted = func(a load.Accepted) error {
				if seen[a.MessageID] {
					t.Errorf("%s accepted twice", a.MessageID)
				}
				seen[a.MessageID] = true
				if want := max(1, src.Rcpts); len(a.Recipients) != want {
					t.Errorf("recipients %v, want %d", a.Recipients, want)
				}
				return nil
			}
			res, err := src.Send(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := max(1, src.Messages)
			if res.Messages != want || res.Failed != 0 || len(seen) != want || sink.Count() != int64(want) {
				t.Errorf("sent %d, failed %d %v, recorded %d, arrived %d; want %d",
					res.Messages, res.Failed, res.Errors, len(seen), sink.Count(), want)
			}
			size := int64(5120)
			if src.Size > 0 {
				size = int64(max(512, src.Size))
			}
			if sink.Bytes() != size*int64(want) {
				t.Errorf("%d bytes arrived, want %d", sink.Bytes(), size*int64(want))
			}
			if res.Latency.P50 <= 0 || res.Latency.Max < res.Latency.P99 {
				t.Errorf("latency %+v", res.Latency)
			}
		})
	}
}

func TestSinkWait(t *testing.T) {
	t.Parallel()
	sink := startSink(t)
	done := make(chan error, 1)
	go func() { done <- sink.Wait(t.Context(), 20) }()
	src := load.Source{Addr: sink.Address(), Messages: 20, Conns: 2}
	if _, err := src.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Wait(ctx, 21); err == nil {
		t.Error("Wait returned before the messages came")
	}
}

// scripted is a server that follows a script: it takes each message and asks
// what to do with it.
type scripted struct {
	lmtp   bool
	decide func(messageID string, rcpts []string) []string // final replies; nil = drop the connection

	mu   sync.Mutex
	body []string
}

func (s *scripted) start(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				s.serve(c)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

func (s *scripted) serve(c net.Conn) {
	r := bufio.NewReader(c)
	say := func(line string) { _, _ = fmt.Fprintf(c, "%s\r\n", line) }
	say("220 hello")
	var rcpts []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "LHLO", "EHLO":
			say("250-test")
			say("250 PIPELINING")
		case "MAIL", "RSET":
			rcpts = nil
			say("250 ok")
		case "RCPT":
			rcpts = append(rcpts, arg)
			say("250 ok")
		case "DATA":
			say("354 go")
			replies := s.message(r, rcpts)
			if replies == nil {
				return
			}
			for _, l := range replies {
				say(l)
			}
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what")
		}
	}
}

func (s *scripted) message(r *bufio.Reader, rcpts []string) []string {
	var id string
	var text bytes.Buffer
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil
		}
		if line == ".\r\n" {
			break
		}
		text.WriteString(line)
		if v, ok := strings.CutPrefix(line, "Message-ID: "); ok {
			id = strings.TrimSpace(v)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = append(s.body, text.String())
	return s.decide(id, rcpts)
}

func TestRepeatSendsTheSameMessageUntilConfirmed(t *testing.T) {
	t.Parallel()
	tries := map[string]int{}
	s := &scripted{decide: func(id string, _ []string) []string {
		tries[id]++
		switch last := id[strings.Index(id, "@")-1]; {
		case tries[id] == 1 && (last == '3' || last == '7'):
			return nil // the connection dies, whatever became of the message
		case tries[id] == 1 && last == '5':
			return []string{"451 4.3.0 later"}
		case last == '9':
			return []string{"554 5.6.0 never"}
		}
		return []string{"250 2.0.0 queued as Q" + id}
	}}
	var record bytes.Buffer
	src := load.Source{Addr: s.start(t), Conns: 3, PerConn: 11, Messages: 60, Repeat: true, Run: "run1", OnAccepted: load.WriteRecord(&record)}
	res, err := src.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Messages != 54 || res.Failed != 6 || len(res.Unconfirmed) != 0 {
		t.Errorf("%d sent, %d failed, unconfirmed %v, errors %v", res.Messages, res.Failed, res.Unconfirmed, res.Errors)
	}
	got, err := load.ReadRecord(bytes.NewReader(record.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 54 {
		t.Errorf("%d records, want 54", len(got))
	}
	for _, a := range got {
		want := 1
		if strings.ContainsAny(a.MessageID[strings.Index(a.MessageID, "@")-1:][:1], "357") {
			want = 2
		}
		if tries[a.MessageID] != want {
			t.Errorf("%s was sent %d times, want %d", a.MessageID, tries[a.MessageID], want)
		}
		if a.Reply != "2.0.0 queued as Q"+a.MessageID || a.Recipients[0] != "user0@dest.test" {
			t.Errorf("record %+v", a)
		}
	}
	for _, b := range s.body {
		if len(b) != 5120 || strings.Count(b, "\n") != strings.Count(b, "\r\n") {
			t.Fatalf("a body of %d bytes, or with bare LF", len(b))
		}
	}
}

func TestWithoutRepeatADroppedMessageIsFailed(t *testing.T) {
	t.Parallel()
	s := &scripted{decide: func(string, []string) []string { return nil }}
	src := load.Source{Addr: s.start(t), Messages: 5}
	res, err := src.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Messages != 0 || res.Failed != 5 || res.Errors["final closed"] != 5 {
		t.Errorf("%+v", res)
	}
}

func TestRepeatGivesUpAndNamesWhatIsUnconfirmed(t *testing.T) {
	t.Parallel()
	s := &scripted{decide: func(string, []string) []string { return nil }}
	src := load.Source{Addr: s.start(t), Messages: 5, Repeat: true, RepeatFor: 50 * time.Millisecond, Run: "x"}
	res, err := src.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Unconfirmed) != 1 || res.Unconfirmed[0] != "<x.0000000000@load.invalid>" {
		t.Errorf("unconfirmed %v", res.Unconfirmed)
	}
}

func TestLMTPRepeatsOnlyRecipientsWithoutReply(t *testing.T) {
	t.Parallel()
	var seen [][]string
	s := &scripted{lmtp: true, decide: func(_ string, rcpts []string) []string {
		seen = append(seen, rcpts)
		if len(seen) == 1 {
			return []string{"250 one", "451 later", "250 three"}
		}
		return []string{"250 two"}
	}}
	var got []load.Accepted
	src := load.Source{
		Addr: s.start(t), LMTP: true, Mailboxes: 3, Rcpts: 3, Repeat: true,
		OnAccepted: func(a load.Accepted) error { got = append(got, a); return nil },
	}
	res, err := src.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res.Messages != 1 || res.Recipients != 3 || len(got) != 2 || len(got[0].Recipients) != 2 {
		t.Errorf("result %+v, accepted %+v", res, got)
	}
	if len(seen) != 2 || len(seen[1]) != 1 || !strings.Contains(seen[1][0], "user1@") {
		t.Errorf("transactions %v", seen)
	}
}

func TestAFailedRecordEndsTheRun(t *testing.T) {
	t.Parallel()
	sink := startSink(t)
	src := load.Source{
		Addr: sink.Address(), Messages: 1000,
		OnAccepted: func(load.Accepted) error { return fmt.Errorf("disk full") },
	}
	if _, err := src.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v", err)
	}
	if sink.Count() > 2 {
		t.Errorf("%d messages were sent after the failure", sink.Count())
	}
}

func TestReadRecordLeavesOutATornLine(t *testing.T) {
	t.Parallel()
	got, err := load.ReadRecord(strings.NewReader("<a@x>\tu@x,v@x\tok then\n<b@x>\tu@"))
	if err != nil || len(got) != 1 || len(got[0].Recipients) != 2 || got[0].Reply != "ok then" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := load.ReadRecord(strings.NewReader("nonsense\n")); err == nil {
		t.Error("a line without fields was taken")
	}
}
