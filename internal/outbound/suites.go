package outbound

import (
	"crypto/tls"
	"slices"
)

// rsaSuites exchange keys by RSA: whoever records what is said and gets hold of the host's
// key later can read it.
func rsaSuites() []uint16 {
	return []uint16{
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	}
}

// anySuites are for hosts whose certificate is not verified. Some know no better than
// rsaSuites, which Go does not offer by itself, and any encryption is better than none
// (RFC 7435 §1.2). Go puts them behind its own.
func anySuites() []uint16 {
	var out []uint16
	for _, s := range tls.CipherSuites() {
		out = append(out, s.ID)
	}
	return append(out, rsaSuites()...)
}

// current tells whether a handshake is one that is made where the host has to prove who it
// is.
func current(s tls.ConnectionState) error {
	switch {
	case s.Version < tls.VersionTLS12:
		return errOldTLS
	case slices.Contains(rsaSuites(), s.CipherSuite):
		return errNoSecrecy
	}
	return nil
}
