package smtpd_test

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

func TestDialog(t *testing.T) {
	t.Parallel()
	testkit.RunAll(t, "testdata/*.txt", func(t *testing.T) testkit.Dialog {
		w := new(world)
		r := newRig(t, w.options(t))
		return testkit.Dialog{
			Dial: r.dialDoor, TLS: r.ca.ClientConfig(stack.Hostname), Given: r.given(), Patience: 10 * time.Second,
			Do: func(what string) error { return r.happen(w, what) },
		}
	})
}
