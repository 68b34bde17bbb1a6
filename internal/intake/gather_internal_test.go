package intake

import (
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
)

// TestGroupsAreBounded: by messages, and by the octets of their bodies.
func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size int64
		want int
	}{"small": {1000, maxGroup}, "large": {groupOctets/2 + 1, 2}, "huge": {groupOctets, 1}} {
		in := New(Options{})
		for range 2 * maxGroup {
			in.waiting <- &entry{body: blob.Body{Size: c.size}}
		}
		if got := len(in.gather(<-in.waiting)); got != c.want {
			t.Errorf("%s: a group has %d messages, want %d", name, got, c.want)
		}
	}
}
