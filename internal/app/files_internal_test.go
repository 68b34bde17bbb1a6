package app

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/config"
)

func TestConnectionsHaveFiles(t *testing.T) {
	t.Parallel()
	tests := []struct{ files, connections, concurrency, want int }{
		{1 << 30, 10_000, 200, 10_000},
		{10_560, 10_000, 200, 10_000},
		{10_559, 10_000, 200, 9_999},
		{1024, 10_000, 200, 464},
		{1024, 300, 200, 300},
		{256, 10_000, 200, 64}, // others have to do with what is left
		{1024, 10_000, 5_000, 256},
	}
	for _, test := range tests {
		c := config.Default()
		c.Limits.Connections, c.Outbound.Concurrency = test.connections, test.concurrency
		if got := connectionLimits(c, test.files).Total; got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
		warning := strings.Join(tooFewFiles(c, test.files), "\n")
		if (warning != "") != (test.want < test.connections) {
			t.Errorf("%+v: %q", test, warning)
		}
	}
}
