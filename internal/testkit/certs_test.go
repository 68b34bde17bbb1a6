package testkit_test

import (
	"crypto/tls"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

func TestCertificatesAreTrustedByName(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	for _, row := range []struct {
		name, asked string
		client      *testkit.CA
		good        bool
	}{
		{"host name", "mx.example.test", ca, true},
		{"address", "127.0.0.1", ca, true},
		{"another name", "other.example.test", ca, false},
		{"another authority", "mx.example.test", testkit.NewCA(t), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server := ca.ServerConfig(t, "mx.example.test", "127.0.0.1")
			if err := handshake(server, row.client.ClientConfig(row.asked)); (err == nil) != row.good {
				t.Errorf("handshake: %v", err)
			}
		})
	}
}

func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	certFile, keyFile := ca.Files(t, "mx.example.test")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(&tls.Config{Certificates: []tls.Certificate{pair}}, ca.ClientConfig("mx.example.test")); err != nil {
		t.Error(err)
	}
	if filepath.Dir(certFile) != filepath.Dir(keyFile) {
		t.Errorf("%s and %s", certFile, keyFile)
	}
}

func handshake(server, client *tls.Config) error {
	a, b := testkit.MemPipe(netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:465"))
	defer a.Close()
	go func() {
		defer b.Close()
		_ = tls.Server(b, server).Handshake() // the client's side tells the outcome
	}()
	return tls.Client(a, client).Handshake()
}
