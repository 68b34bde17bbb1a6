package control_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/control"
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
