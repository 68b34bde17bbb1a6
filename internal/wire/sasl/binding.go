package sasl

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// The channel bindings we know. tls-unique is left out: TLS 1.3 has none.
const (
	tlsExporter = "tls-exporter"         // RFC 9266
	tlsEndPoint = "tls-server-end-point" // RFC 5929 §4
)

// Binding is what only the two ends of one TLS connection know alike. A kind
// that the connection does not have is empty.
type Binding struct {
	Exporter []byte // of tls-exporter
	EndPoint []byte // of tls-server-end-point
}

// Bind takes the bindings from a connection. The certificate is the one that
// the server showed: a client finds it in the state, a server has to remember
// what it chose. Nil leaves tls-server-end-point out.
func Bind(state *tls.ConnectionState, server *x509.Certificate) Binding {
	var b Binding
	if state != nil && state.HandshakeComplete {
		// RFC 9266 §2. Before TLS 1.3 no context differs from an empty one:
		// we give none, as others do. Go refuses where the master secret is
		// not extended, which that RFC forbids as well.
		if data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
			b.Exporter = data
		}
	}
	if server != nil {
		b.EndPoint = endPoint(server)
	}
	return b
}

// endPoint hashes a certificate (RFC 5929 §4.1): with the hash of its
// signature, or SHA-256 where that is weak. There is no binding for a
// signature without one hash, such as Ed25519.
func endPoint(c *x509.Certificate) []byte {
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		h := sha256.Sum256(c.Raw)
		return h[:]
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h := sha512.Sum384(c.Raw)
		return h[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h := sha512.Sum512(c.Raw)
		return h[:]
	}
	return nil
}

func (b Binding) present() bool { return len(b.Exporter) > 0 || len(b.EndPoint) > 0 }

// data is what a kind of binding has, or nothing.
func (b Binding) data(kind string) []byte {
	switch kind {
	case tlsExporter:
		return b.Exporter
	case tlsEndPoint:
		return b.EndPoint
	}
	return nil
}

// best is the kind that a client asks for. RFC 9266 §3 prefers the exporter,
// which is new on each connection.
func (b Binding) best() string {
	if len(b.Exporter) > 0 {
		return tlsExporter
	}
	return tlsEndPoint
}

// input is cbind-input (RFC 5802 §7).
func (b Binding) input(h gs2) []byte {
	return slices.Concat([]byte(h.raw), b.data(h.binding))
}
