package outbound

import (
	"crypto/tls"
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

// TestJudgedOnce: a certificate is looked at once for what decides nothing, also where it
// proves nothing.
func TestJudgedOnce(t *testing.T) {
	t.Parallel()
	for _, verdict := range []error{nil, errNoCertificate} {
		looks := 0
		r := rule{policy: stsPolicy, source: "MTA-STS", asks: "PKIX", verify: func(tls.ConnectionState) error { looks++; return verdict }}
		c := &client{conn: tls.Client(nil, new(tls.Config)), holds: r}
		c.appraise()
		for range 3 {
			if f := r.refuses(c); f != nil {
				t.Error(f)
			}
		}
		if looks != 1 || (c.failure == "") != (verdict == nil) {
			t.Errorf("%v: looked at %d times, reported %q", verdict, looks, c.failure)
		}
	}
}
