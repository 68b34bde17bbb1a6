package smtpd_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/stack"
)

func TestDialog(t *testing.T) {
	t.Parallel()
	testkit.RunAll(t, "testdata/*.txt", func(t *testing.T) testkit.Dialog {
		r := newRig(t, stack.Options{})
		return testkit.Dialog{Dial: r.dialDoor, TLS: r.ca.ClientConfig(stack.Hostname)}
	})
}
