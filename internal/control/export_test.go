package control_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
)

// export is what is chosen, in the order in which it comes.
func export(t *testing.T, w way, f control.QueueFilter) (list []control.Exported) {
	t.Helper()
	err := control.Export(t.Context(), w.Client, f, func(m control.Exported) error {
		list = append(list, m)
		return nil
	})
	if err != nil {
		t.Fatalf("export %+v: %v", f, err)
	}
	return list
}

func content(t *testing.T, w way, message string) string {
	t.Helper()
	var b bytes.Buffer
	if err := control.Content(t.Context(), w.Client, message, &b); err != nil {
		t.Fatalf("content: %v", err)
	}
	return b.String()
}

func TestExportSelects(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		ids := four(t, w)
		first := ask(t, w, control.QueueList, control.QueueFilter{IDs: ids[1:2]})[0].ID
		for want, f := range map[string]control.QueueFilter{
			"0 x@a.test, 1 x@a.test y@b.test, 2 z@b.test": {All: true},
			"0 x@a.test, 1 x@a.test":                      {Domain: "a.test"},
			"1 x@a.test y@b.test":                         {Sender: "alice@hayauma.test"},
			"1 x@a.test":                                  {IDs: []string{first}},
			"0 x@a.test, 2 z@b.test":                      {IDs: []string{ids[2], ids[0], ids[0]}},
			"1 y@b.test":                                  {IDs: ids[:2], Domain: "b.test"},
			"":                                            {State: "deferred"},
		} {
			var got []string
			for _, m := range export(t, w, f) {
				line := "?"
				for i, id := range ids {
					if id == m.Message {
						line = fmt.Sprint(i)
					}
				}
				for _, r := range m.Recipients {
					line += " " + r.Address
				}
				got = append(got, line)
			}
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("%+v: %s, want %s", f, s, want)
			}
		}
		err := control.Export(t.Context(), w.Client, control.QueueFilter{}, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "say which messages") {
			t.Errorf("nothing said: %v", err)
		}
		if text := content(t, w, ids[0]); !strings.HasPrefix(text, "Received: ") || !strings.HasSuffix(text, letter) {
			t.Errorf("content %q", text)
		}
		// One who has seen enough ends it.
		errEnough := errors.New("enough")
		n := 0
		if err := control.Export(t.Context(), w.Client, control.QueueFilter{All: true}, func(control.Exported) error { n++; return errEnough }); !errors.Is(err, errEnough) || n != 1 {
			t.Errorf("%d, %v", n, err)
		}
		ask(t, w, control.QueueDelete, control.QueueFilter{IDs: ids[:1]})
		if err := control.Content(t.Context(), w.Client, ids[0], io.Discard); !errors.Is(err, control.ErrGone) {
			t.Errorf("content of what is gone: %v", err)
		}
	})
}

// TestExportOfMany: each message comes once, however many recipients it has, and they
// are its own.
func TestExportOfMany(t *testing.T) {
	t.Parallel()
	w := dialled(t, options())
	var want []string
	for i := range 50 {
		var to []string
		for j := range 1 + 97*(i%7) {
			to = append(to, fmt.Sprintf("u%d@d%d.test", j, i))
		}
		id := send(t, w, control.Outgoing{Recipients: to, Message: strings.NewReader(letter)}).Message
		want = append(want, fmt.Sprintf("%s %d d%d.test", id, len(to), i))
	}
	var got []string
	for _, m := range export(t, w, control.QueueFilter{All: true}) {
		_, domain, _ := strings.Cut(m.Recipients[len(m.Recipients)-1].Address, "@")
		got = append(got, fmt.Sprintf("%s %d %s", m.Message, len(m.Recipients), domain))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestExportAndSendAgain: nothing of the envelope is lost, and of the message nothing
// but that another line tells of its way.
func TestExportAndSendAgain(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		tx := w.stack.Intake.Begin(mail.Origin{Door: mail.DoorCommand}, mail.Envelope{
			From: w.stack.Address("jürgen@dömain.test"), UTF8: true, EightBit: true, Ret: "FULL", EnvID: "a b+c",
			Release: mail.Micros(time.Now().Add(time.Hour)), Priority: -3, RequireTLS: true,
			By: mail.DeliverBy{At: mail.Micros(time.Now().Add(2 * time.Hour)), Trace: true},
		})
		for i, n := range []mail.Notify{0, mail.NotifyNever, mail.NotifySuccess | mail.NotifyDelay, mail.NotifyFailure} {
			r := mail.Recipient{Address: w.stack.Address(fmt.Sprintf("x%d@a.test", i)), Notify: n, ORCPT: "rfc822;first@list.test"}
			target, fault := tx.Resolve(t.Context(), r.Address)
			if fault == nil {
				fault = tx.Add(t.Context(), r, target)
			}
			if fault != nil {
				t.Fatal(fault)
			}
		}
		text := letter + ".\r\n..two\r\nFrom the start\r\nno end"
		_, _ = tx.Write([]byte(text)) // its fault is that of Commit
		if result := tx.Commit(t.Context()); result.Fault != nil {
			t.Fatal(result.Fault)
		}
		before := export(t, w, control.QueueFilter{All: true})
		if len(before) != 1 || before[0].Ret != "FULL" || before[0].HoldUntil == "" || before[0].By == "" || len(before[0].Recipients) != 4 {
			t.Fatalf("%+v", before)
		}
		was := content(t, w, before[0].Message)
		ask(t, w, control.QueueDelete, control.QueueFilter{IDs: []string{before[0].Message}})
		sent, err := control.SendAgain(t.Context(), w.Client, control.Outgoing{Envelope: &before[0], Message: strings.NewReader(was)})
		if err != nil {
			t.Fatal(err)
		}
		after := export(t, w, control.QueueFilter{All: true})
		if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(control.Exported{}, "Message", "Size", "Received", "Expires"), cmpopts.IgnoreFields(control.ExportedRecipient{}, "ID")); diff != "" {
			t.Error(diff)
		}
		if queued := w.stack.Queued(); len(queued) != 1 || !queued[0].Until {
			t.Errorf("it waits for no date: %+v", queued)
		}
		if is := content(t, w, sent.Message); !strings.HasSuffix(is, was) || !strings.HasPrefix(is, "Received: ") || after[0].Size != int64(len(is)) {
			t.Errorf("%q became %q", was, is)
		}
	})
}

// TestSendAgainRefuses: what is no envelope is not guessed at.
func TestSendAgainRefuses(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		w.stack.Account("alice@hayauma.test", 0)
		to := []control.ExportedRecipient{{Address: "x@a.test"}}
		for want, e := range map[string]control.Exported{
			"no recipients": {From: "a@b.test", Recipients: []control.ExportedRecipient{{Address: "x@a.test", State: "served"}}},
			`sender "a b"`:  {From: "a b", Recipients: to},
			"no time":       {HoldUntil: "soon", Recipients: to},
			"FULL or HDRS":  {Ret: "ALL", Recipients: to},
			"a priority":    {Priority: 10, Recipients: to},
			"NOTIFY is":     {Recipients: []control.ExportedRecipient{{Address: "x@a.test", Notify: []string{"often"}}}},
			"too long":      {EnvID: strings.Repeat("x", 5<<20), Recipients: to},
			"no ENVID":      {EnvID: strings.Repeat("x", 101), Recipients: to},
			"no ORCPT":      {Recipients: []control.ExportedRecipient{{Address: "x@a.test", ORCPT: "x@a.test"}}},
		} {
			_, err := control.SendAgain(t.Context(), w.Client, control.Outgoing{Envelope: &e, Message: strings.NewReader(letter)})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		nothing(t, w)
	})
}

// TestContentThatCannotBeRead: a part of a message is no message.
func TestContentThatCannotBeRead(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		id := send(t, w, control.Outgoing{Recipients: []string{"x@a.test"}, Message: strings.NewReader(letter)}).Message
		alter := func(sql string) {
			t.Helper()
			if err := w.stack.DB.Write(t.Context(), func(tx *db.Tx) error { _, err := tx.Exec(db.SQL(sql)); return err }); err != nil {
				t.Fatal(err)
			}
		}
		alter("UPDATE queue_message SET size = size + 7")
		if err := control.Content(t.Context(), w.Client, id, io.Discard); err == nil {
			t.Error("seven octets are missing, and nobody says so")
		}
		alter("UPDATE queue_message SET body = 12345")
		if err := control.Content(t.Context(), w.Client, id, io.Discard); err == nil || !strings.Contains(err.Error(), "no such body") {
			t.Errorf("without a body: %v", err)
		}
	})
}

// Not parallel: it measures what the whole process allocates.
func TestContentTakesLittleMemory(t *testing.T) { //nolint:paralleltest // it measures the process
	const size, most = 20 << 20, 2 << 20
	w := dialled(t, options())
	message := io.MultiReader(strings.NewReader(letter), io.LimitReader(endless{}, size), strings.NewReader("\r\n"))
	id := send(t, w, control.Outgoing{Recipients: []string{"x@a.test"}, Message: message}).Message
	for _, c := range []*control.Client{w.Client, control.Direct(service(w.stack).Handler())} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := control.Content(t.Context(), c, id, io.Discard); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%d octets were allocated for a message of %d", took, size)
		}
	}
	if n := len(w.stack.Queued()); n != 1 || w.stack.Queued()[0].Recipients[0].State != queue.Held {
		t.Errorf("%d in the queue", n)
	}
}
