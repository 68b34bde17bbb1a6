package control_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
)

func TestQueueListIsBounded(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		four(t, w)
		for limit, want := range map[int]int{0: 4, 3: 3, control.MaxList + 1: 4} {
			if got := ask(t, w, control.QueueList, control.QueueFilter{All: true, Limit: limit}); len(got) != want {
				t.Errorf("limit %d lists %d, want %d", limit, len(got), want)
			}
		}
		refused(t, w, control.QueueList, control.QueueFilter{All: true, Limit: control.MaxList + 2},
			"a list of 100002 recipients: at most 100000 can be asked for at once")
		refused(t, w, control.QueueList, control.QueueFilter{All: true, Limit: -1},
			"a list of -1 recipients: at most 100000 can be asked for at once")
	})
}

// onFirst is an answer that does something before its first octet goes out.
type onFirst struct {
	*httptest.ResponseRecorder
	do func()
}

func (w *onFirst) Write(p []byte) (int, error) {
	if w.Body.Len() == 0 {
		w.do()
	}
	return w.ResponseRecorder.Write(p)
}

// TestQueueListIsNotHeld: the first entries are written before the last ones are read, and
// a list that cannot be read to its end has none.
func TestQueueListIsNotHeld(t *testing.T) {
	t.Parallel()
	const all = 900
	for sql, whole := range map[string]bool{"DELETE FROM queue_recipient": true, "ALTER TABLE queue_recipient RENAME TO gone": false} {
		t.Run(sql, func(t *testing.T) {
			t.Parallel()
			w := dialled(t, options())
			var to []string
			for i := range all {
				to = append(to, fmt.Sprintf("u%d@d%d.test", i, i%7))
			}
			send(t, w, control.Outgoing{Recipients: to, Message: strings.NewReader(letter)})
			answer := &onFirst{httptest.NewRecorder(), func() {
				if err := w.stack.DB.Write(t.Context(), func(tx *db.Tx) error { _, err := tx.Exec(db.SQL(sql)); return err }); err != nil {
					t.Error(err)
				}
			}}
			question := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/"+control.QueueList.Name, strings.NewReader(`{"all":true}`))
			service(w.stack).Handler().ServeHTTP(answer, question)
			if n := strings.Count(answer.Body.String(), `"recipient":`); n == 0 || n >= all {
				t.Errorf("%d entries of %d, all of which were read before the first was written", n, all)
			}
			if json.Valid(answer.Body.Bytes()) != whole {
				t.Errorf("the list has an end: %v", !whole)
			}
		})
	}
}
