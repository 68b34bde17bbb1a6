package outbound_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestReturnPath: the envelope sender is the one that is made for the message, or
// for each recipient in a transaction of its own; nothing else changes.
func TestReturnPath(t *testing.T) {
	t.Parallel()
	for name, alone := range map[string]bool{"for the message": false, "for each recipient": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.from = func(_ context.Context, _ *queue.Message, to mail.Address) (mail.Address, bool, error) {
				return w.address("b+" + to.Local + "@us.test"), alone, nil
			}
			m := w.mx(testkit.MXOptions{Keywords: []string{"PIPELINING", "DSN"}})
			job := w.job("a@x.test", "b@x.test", "c@x.test")
			job.Message.EnvID, job.Recipients[1].ORCPT = "one", "rfc822;first@x.test"
			w.want(w.deliver(t.Context(), job)[0], good, good, good)
			var got []string
			for _, sent := range m.Messages() {
				to := sent.From + ":"
				for _, r := range sent.Recipients {
					to += " " + strings.Join(append([]string{r.Address}, r.Params...), " ")
				}
				got = append(got, to+" "+strings.Join(sent.Params, " "))
			}
			want := "b+a@us.test: a@x.test b@x.test ORCPT=rfc822;first@x.test c@x.test ENVID=one"
			if alone {
				want = "b+a@us.test: a@x.test ENVID=one, b+b@us.test: b@x.test ORCPT=rfc822;first@x.test ENVID=one, b+c@us.test: c@x.test ENVID=one"
			}
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("got  %s\nwant %s", text, want)
			}
		})
	}
}

// TestENVID: what an account submits gets a name, unless it has one, nobody is told of
// it, or the host takes none; what is relayed does not (RFC 3461 §5.2.1).
func TestENVID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*queue.Message)
		dsn    string
		want   string
	}{
		"submitted":          {func(*queue.Message) {}, "DSN", "ENVID=us.1"},
		"with a name":        {func(m *queue.Message) { m.EnvID = "mine" }, "DSN", "ENVID=mine"},
		"relayed":            {func(m *queue.Message) { m.Account = 0 }, "DSN", ""},
		"the null sender's":  {func(m *queue.Message) { m.From = mail.Address{} }, "DSN", ""},
		"to one without DSN": {func(*queue.Message) {}, "PIPELINING", ""},
		"without a key":      {func(m *queue.Message) { m.Account = 2 }, "DSN", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.envID = func(_ context.Context, m *queue.Message) (string, error) {
				if m.Account == 2 {
					return "", errors.New("no key")
				}
				return "us.1", nil
			}
			m := w.mx(testkit.MXOptions{Keywords: []string{c.dsn}})
			job := w.job("a@x.test")
			job.Message.Account = 1
			c.change(job.Message)
			w.want(w.deliver(t.Context(), job)[0], good)
			if got := strings.Join(m.Messages()[0].Params, " "); got != c.want {
				t.Errorf("MAIL with %q, want %q", got, c.want)
			}
		})
	}
}

// TestNoReturnPath: where it cannot be made the message waits.
func TestNoReturnPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.from = func(context.Context, *queue.Message, mail.Address) (mail.Address, bool, error) {
		return mail.Address{}, false, errors.New("no key")
	}
	m := w.mx(testkit.MXOptions{})
	w.want(w.send("a@x.test", "b@x.test"), "deferred 451 4.3.0 ours", "deferred 451 4.3.0 ours")
	if len(m.Messages()) != 0 {
		t.Error("the host got it")
	}
}
