package outbound

import "testing"

// TestPoolsRoom: a connection that the pool would not keep is told apart beforehand.
func TestPoolsRoom(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fill func(*pool)
		want bool
	}{
		"empty":           {func(*pool) {}, true},
		"full":            {func(p *pool) { p.count = maxIdle }, false},
		"full for a host": {func(p *pool) { p.idle["mx.x.test"] = make([]*idle, maxIdlePerHost) }, false},
		"full for others": {func(p *pool) { p.idle["mx.y.test"] = make([]*idle, maxIdlePerHost) }, true},
		"closed":          {func(p *pool) { p.closed = true }, false},
	} {
		p := newPool()
		c.fill(p)
		if got := p.room(&client{shared: "mx.x.test"}); got != c.want {
			t.Errorf("%s: room is %v", name, got)
		}
	}
}
