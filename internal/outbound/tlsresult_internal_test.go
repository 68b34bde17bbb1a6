package outbound

import (
	"crypto/x509"
	"io/fs"
	"syscall"
	"testing"
)

// TestReasonNamesNoFile of ours.
func TestReasonNamesNoFile(t *testing.T) {
	t.Parallel()
	c := new(client)
	err := x509.SystemRootsError{Err: &fs.PathError{Op: "open", Path: "/etc/ours.pem", Err: syscall.EACCES}}
	c.failed(resultOf(err), reason(err))
	if want := "x509: failed to load system roots and no roots provided"; c.failure != otherFailure || c.reason != want {
		t.Errorf("%q, %q", c.failure, c.reason)
	}
}
