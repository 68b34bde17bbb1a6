package outbound

import (
	"testing"

	"github.com/hayauma/hayauma/internal/queue"
)

func TestWhichProblemIsTold(t *testing.T) {
	t.Parallel()
	later, final := &problem{result: queue.TryLater}, &problem{result: queue.Refused}
	aside := &problem{result: queue.TryLater, aside: true}
	for _, c := range []struct {
		p, last *problem
		want    bool
	}{
		{later, nil, true}, {later, later, true}, {later, final, true}, {final, final, true}, {final, later, false},
		{aside, later, false}, {aside, final, false}, {later, aside, true}, {final, aside, true}, {aside, aside, true},
	} {
		if got := outweighs(c.p, c.last); got != c.want {
			t.Errorf("%+v after %+v: %v", c.p, c.last, got)
		}
	}
}
