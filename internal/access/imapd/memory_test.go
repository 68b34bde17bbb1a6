package imapd_test

import (
	"runtime"
	"testing"
)

// TestIdleSessionsAreLean bounds what sessions hold that do nothing, both ends
// of their connections in memory included.
func TestIdleSessionsAreLean(t *testing.T) {
	const sessions = 200
	const limit = 40 << 10 // octets of one session
	w := newWorld(t)
	w.enter("INBOX") // what the first one makes for all
	before := held()
	for range sessions {
		c := w.enter("INBOX")
		c.send("i IDLE\r\n")
		if got := c.line(); got != "+ idling" {
			t.Fatal(got)
		}
	}
	each := (held() - before) / sessions
	t.Logf("%d octets each", each)
	if each > limit {
		t.Errorf("an idle session holds %d octets, more than %d", each, limit)
	}
}

// held is what heap and stacks hold after garbage is gone.
func held() int64 {
	var m runtime.MemStats
	for range 3 { // stacks shrink by half each time
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
