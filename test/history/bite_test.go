package history

import (
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
)

// bitten starts a short history on the embedded engine alone.
func bitten(t *testing.T, seed uint64) *history {
	t.Helper()
	w := newWorld(t, "embedded", dbtest.Embedded(t))
	w.patience = 10 * time.Second
	return newHistory(seed, w)
}

// until goes on with a history until something is so.
func (h *history) until(t *testing.T, so func(*model) bool) {
	t.Helper()
	for range 3000 {
		if err := h.step(); err != nil {
			t.Fatal(h.failure(err))
		}
		if so(h.m) {
			return
		}
	}
	t.Fatal("the history does not come to where it can be spoilt")
}

// TestLieIsFound has a world give one wrong answer.
func TestLieIsFound(t *testing.T) {
	t.Parallel()
	h := bitten(t, 1)
	h.lie = func(n int, answer string) string {
		if n == 77 {
			return answer + "!"
		}
		return answer
	}
	err := h.run(100)
	if err == nil || !strings.Contains(err.Error(), "operation 77") {
		t.Errorf("a lie in operation 77 led to %v", err)
	}
	if !strings.Contains(err.Error(), "\n58: ") || !strings.Contains(err.Error(), "HAYAUMA_SEED=1 HAYAUMA_HISTORY=77") {
		t.Errorf("the failure does not tell how it came to it: %v", err)
	}
}

// someMessages is where there are messages of several ages.
func someMessages(m *model) bool {
	for _, a := range m.accounts {
		for _, b := range a.boxes {
			if len(b.list) > 1 && b.list[0].step < b.list[len(b.list)-1].step {
				return true
			}
		}
	}
	return false
}

func someQueued(m *model) bool { return len(m.rcpts) > 2 }

func someEvents(m *model) bool { return len(m.fresh) > 2 }

func someAliases(m *model) bool { return len(m.aliases) > 1 }

// someAsleep is where a session that the next comparison polls has not heard of
// messages that went.
func someAsleep(m *model) bool {
	for _, v := range m.views {
		if !v.box.gone && v.number%2 == 0 && len(v.present()) < len(v.uids) {
			return true
		}
	}
	return false
}

// TestDamageIsFound spoils rows behind the back of the domain. The comparison
// must find each of these.
func TestDamageIsFound(t *testing.T) {
	t.Parallel()
	const one = " WHERE (mailbox, uid) IN (SELECT mailbox, uid FROM mailbox_message ORDER BY mailbox, uid LIMIT 1)"
	for _, c := range []struct {
		name, sql string
		when      func(*model) bool
	}{
		{"flags", "UPDATE mailbox_message SET flags = 31 - flags" + one, someMessages},
		{"keywords", "UPDATE mailbox_message SET keywords = 'Other'" + one, someMessages},
		{"thread", "UPDATE mailbox_message SET thread = 1" + one, someMessages},
		{"message id", "UPDATE mailbox_message SET message = 1" + one, someMessages},
		{"date", "UPDATE mailbox_message SET date = date - 1" + one, someMessages},
		{"uid", "UPDATE mailbox_message SET uid = uid + 1000" + one, someMessages},
		{"prefix", "UPDATE mailbox_message SET prefix = x'58'" + one, someMessages},
		{"lost message", "DELETE FROM mailbox_message" + one, someMessages},
		{"order of changes", "UPDATE mailbox_message SET modseq = 1", someMessages},
		{"unseen", "UPDATE mailbox SET unseen = unseen + 1", someMessages},
		{"deleted", "UPDATE mailbox SET deleted = deleted + 1", someMessages},
		{"recent", "UPDATE mailbox SET recent = recent + 1, uidnext = uidnext + 1", someMessages},
		{"name", "UPDATE mailbox SET name = 'Junks' WHERE name = 'Junk'", someMessages},
		{"role", "UPDATE mailbox SET role = '' WHERE role = 'inbox'", someMessages},
		{"UIDVALIDITY", "UPDATE mailbox SET uidvalidity = 5 WHERE role = 'inbox'", someMessages},
		{"usage", "UPDATE mailbox_account SET used = used + 1", someMessages},
		{"subscription", "DELETE FROM mailbox_subscription WHERE name = 'INBOX'", someMessages},
		{"quota", "UPDATE account SET quota = quota + 2", someMessages},
		{"alias", "DELETE FROM alias WHERE key = (SELECT MIN(key) FROM alias)", someAliases},
		{"domain", "INSERT INTO domain (name, tenant, created) VALUES ('zz.test', 1, 0)", someMessages},
		{"forgotten expunge", "DELETE FROM mailbox_expunged", someAsleep},
		{"queue state", "UPDATE queue_recipient SET state = 6 - state WHERE state <> 3", someQueued},
		{"queue attempts", "UPDATE queue_recipient SET attempts = attempts + 1", someQueued},
		{"queue row", "DELETE FROM queue_recipient WHERE id = (SELECT MIN(id) FROM queue_recipient)", someQueued},
		{"queue sender", "UPDATE queue_message SET sender = 'x@home.test'", someQueued},
		{"lost event", "DELETE FROM event WHERE id = (SELECT MAX(id) FROM event)", someEvents},
		{"doubled event", `INSERT INTO event (id, message, tenant, account, at, kind, stream, recipient, key, detail)
			SELECT id + 1, message, tenant, account, at, kind, stream, recipient, NULL, detail FROM event ORDER BY id DESC LIMIT 1`, someEvents},
		{"kind of event", "UPDATE event SET kind = 'relayed' WHERE id = (SELECT MAX(id) FROM event)", someEvents},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := bitten(t, 7)
			h.until(t, func(m *model) bool { return h.done >= 60 && c.when(m) })
			// What an account's UIDVALIDITYs were is known from the last look.
			for _, a := range h.m.accounts {
				if err := h.worlds[0].validity(a); err != nil {
					t.Fatal(err)
				}
			}
			h.spoil(t, c.sql)
			if err := h.compare(); err == nil {
				t.Error("the comparison found nothing")
			}
		})
	}
}

func (h *history) spoil(t *testing.T, sql string) {
	t.Helper()
	w := h.worlds[0]
	w.patience = 50 * time.Millisecond
	err := w.db.Write(t.Context(), func(tx *db.Tx) error {
		n, err := tx.Exec(db.SQL(sql))
		if err == nil && n == 0 {
			t.Error("nothing was spoilt")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLeftoversAreFound leaves rows behind that nothing shows any more, or takes
// away what is only read at the end.
func TestLeftoversAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql string }{
		{"lost body", "DELETE FROM body WHERE id IN (SELECT body FROM mailbox_message)"},
		{"content", `INSERT INTO mailbox_content (body, header, sent_day, message_id, subject, structure)
			SELECT body + 1, header, sent_day, message_id, subject, structure FROM mailbox_content ORDER BY body DESC LIMIT 1`},
		{"expunge of nobody", "INSERT INTO mailbox_expunged (mailbox, modseq, uid, account, message) VALUES (1, 1, 1, 1, 1)"},
		{"subscription of nobody", "INSERT INTO mailbox_subscription (account, name) VALUES (1, 'INBOX')"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := bitten(t, 7)
			h.until(t, func(m *model) bool { return h.done >= 60 && someMessages(m) })
			if err := h.check(); err != nil {
				t.Fatal(err)
			}
			h.spoil(t, c.sql)
			if err := h.check(); err == nil {
				t.Error("the check found nothing")
			}
		})
	}
}
