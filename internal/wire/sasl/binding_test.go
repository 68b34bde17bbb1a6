package sasl_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// certificate signs itself with a key.
func certificate(t *testing.T, key crypto.Signer, algorithm x509.SignatureAlgorithm) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e.test"}, DNSNames: []string{"e.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: algorithm,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func ecKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Both ends of a real connection find the same bindings, in every version.
func TestBind(t *testing.T) {
	t.Parallel()
	cert := certificate(t, ecKey(t), x509.ECDSAWithSHA256)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	seen := map[string]bool{}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13, tls.VersionTLS13} {
		a, b := net.Pipe()
		server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		client := tls.Client(b, &tls.Config{RootCAs: roots, ServerName: "e.test", MinVersion: tls.VersionTLS12, MaxVersion: version})
		failed := make(chan error, 1)
		go func() {
			err := server.Handshake()
			if err == nil {
				_, err = server.Write([]byte("x")) // carries the tickets along
			}
			failed <- err
		}()
		if _, err := client.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		there, here := server.ConnectionState(), client.ConnectionState()
		ours, theirs := sasl.Bind(&there, cert.Leaf), sasl.Bind(&here, here.PeerCertificates[0])
		if len(ours.Exporter) != 32 || len(ours.EndPoint) != 32 || !bytes.Equal(ours.Exporter, theirs.Exporter) || !bytes.Equal(ours.EndPoint, theirs.EndPoint) {
			t.Errorf("%x: %+v and %+v", version, ours, theirs)
		}
		if seen[string(ours.Exporter)] {
			t.Error("two connections have one exporter")
		}
		seen[string(ours.Exporter)] = true
		a.Close()
		b.Close()
	}
	if b := sasl.Bind(nil, nil); b.Exporter != nil || b.EndPoint != nil {
		t.Errorf("nothing has %+v", b)
	}
	if b := sasl.Bind(&tls.ConnectionState{}, nil); b.Exporter != nil {
		t.Errorf("an unfinished handshake has %+v", b)
	}
}

func TestEndPointHash(t *testing.T) {
	t.Parallel()
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		key       crypto.Signer
		algorithm x509.SignatureAlgorithm
		want      func([]byte) []byte
	}{
		{"SHA-256", ecKey(t), x509.ECDSAWithSHA256, func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }},
		{"SHA-384", ecKey(t), x509.ECDSAWithSHA384, func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }},
		{"SHA-512", ecKey(t), x509.ECDSAWithSHA512, func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }},
		{"Ed25519 has none", edwards, x509.PureEd25519, func([]byte) []byte { return nil }},
	} {
		leaf := certificate(t, c.key, c.algorithm).Leaf
		if got := sasl.Bind(nil, leaf).EndPoint; !bytes.Equal(got, c.want(leaf.Raw)) {
			t.Errorf("%s: %x", c.name, got)
		}
	}
	weak := &x509.Certificate{Raw: []byte("raw"), SignatureAlgorithm: x509.SHA1WithRSA}
	if want := sha256.Sum256(weak.Raw); !bytes.Equal(sasl.Bind(nil, weak).EndPoint, want[:]) {
		t.Error("a weak hash is not replaced by SHA-256")
	}
}
