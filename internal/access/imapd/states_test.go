package imapd_test

import (
	"strings"
	"testing"
)

// TestStates tries every command in every state. The states are those in which
// RFC 3501 §6 and the extensions allow it: n(ot authenticated), a(uthenticated),
// s(elected).
func TestStates(t *testing.T) {
	t.Parallel()
	rows := []struct{ line, states string }{
		{"CAPABILITY", "nas"},
		{"NOOP", "nas"},
		{"LOGOUT", "nas"},
		{"ID NIL", "nas"},
		{"STARTTLS", "n"},
		{"LOGIN " + login + " \"" + password + "\"", "n"},
		{"AUTHENTICATE PLAIN AGhvcnNlQGV4YW1wbGUudGVzdABmYXN0ZXIgdGhhbiB0aGUgd2luZA==", "n"},
		{"SELECT INBOX", "as"},
		{"EXAMINE INBOX", "as"},
		{"CREATE INBOX", "as"},
		{"DELETE INBOX", "as"},
		{"RENAME None Other", "as"},
		{"SUBSCRIBE INBOX", "as"},
		{"UNSUBSCRIBE None", "as"},
		{"LIST \"\" *", "as"},
		{"LSUB \"\" *", "as"},
		{"STATUS INBOX (MESSAGES)", "as"},
		{"APPEND Junk {12+}\r\nSubject: a\r\n", "as"},
		{"NAMESPACE", "as"},
		{"IDLE\r\nDONE", "as"},
		{"CHECK", "s"},
		{"CLOSE", "s"},
		{"UNSELECT", "s"},
		{"EXPUNGE", "s"},
		{"SEARCH ALL", "s"},
		{"FETCH 1 FLAGS", "s"},
		{"STORE 1 +FLAGS (\\Seen)", "s"},
		{"COPY 1 Archive", "s"},
		{"MOVE 1 None", "s"},
		{"UID EXPUNGE 1", "s"},
		{"UID SEARCH ALL", "s"},
		{"UID FETCH 1 FLAGS", "s"},
		{"UID STORE 1 +FLAGS (\\Seen)", "s"},
		{"UID COPY 1 Archive", "s"},
		{"UID MOVE 1 None", "s"},
		{"NONSENSE", ""},
		{"UID NONSENSE", ""},
		{"ENABLE CONDSTORE", ""},
	}
	w := newWorld(t)
	w.keep("INBOX", []byte("Subject: a\r\n\r\nb\r\n"), 0)
	enter := map[byte]func() *client{
		'n': w.connect,
		'a': func() *client { return w.enter("") },
		's': func() *client { return w.enter("INBOX") },
	}
	for _, row := range rows {
		for _, state := range []byte("nas") {
			c := enter[state]()
			_, tagged := c.run(row.line)
			allowed := strings.IndexByte(row.states, state) >= 0
			if refused := strings.HasPrefix(tagged, "BAD"); refused == allowed {
				t.Errorf("%s in state %c: %s", row.line, state, tagged)
			}
			_ = c.conn.Close() // the session was used enough
		}
	}
}
