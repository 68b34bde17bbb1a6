package outbound

import (
	"math"
	"testing"
)

// TestPoolsRoom: a connection that the pool would not keep is told apart beforehand.
func TestPoolsRoom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fill     func(*pool)
		fellBack string
		want     bool
	}{
		"empty":                           {fill: func(*pool) {}, want: true},
		"full":                            {fill: func(p *pool) { p.count = maxIdle }, want: false},
		"full for a host":                 {fill: func(p *pool) { p.idle["mx.x.test"] = make([]*idle, maxIdlePerHost) }, want: false},
		"full for others":                 {fill: func(p *pool) { p.idle["mx.y.test"] = make([]*idle, maxIdlePerHost) }, want: true},
		"in the clear because TLS failed": {fill: func(*pool) {}, fellBack: "timed out", want: false},
		"closed":                          {fill: func(p *pool) { p.closed = true }, want: false},
	} {
		p := newPool(func(string) int { return math.MaxInt })
		c.fill(p)
		if got := p.room(&client{shared: "mx.x.test", fellBack: c.fellBack}); got != c.want {
			t.Errorf("%s: room is %v", name, got)
		}
	}
}
