package outbound_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/testkit"
)

// byRSA is a host that knows no key exchange but that by RSA, and pool trusts it alone.
func byRSA(t *testing.T, suite uint16) (c *tls.Config, pool *x509.CertPool) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.x.test"}, DNSNames: []string{"mx.x.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}, pool
}

// TestKeyExchangeByRSA: it is better than cleartext, and not good enough where the host has
// to prove who it is.
func TestKeyExchangeByRSA(t *testing.T) {
	t.Parallel()
	const failed = "TLS with mx.x.test failed: remote error: tls: handshake failure; your TLS rule (set) demands it"
	for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA} {
		for _, c := range []struct{ rule, want, reply string }{
			{"", good, ""},
			{"required", good, ""},
			{"verified", "deferred 454 4.7.5 ours", failed},
		} {
			t.Run(tls.CipherSuiteName(suite)+" "+c.rule, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, "y.test. 60 MX 10 mx.x.test.")
				w.set.IdleTimeout = time.Minute
				w.options.Demand = func(site, _ string) outbound.Demand {
					if site != "x.test" {
						return outbound.Demand{}
					}
					return outbound.Demand{TLS: c.rule, From: "set"}
				}
				w.o.Close()
				w.o = outbound.New(w.options)
				config, pool := byRSA(t, suite)
				w.tls = &tls.Config{RootCAs: pool}
				m := w.mx(testkit.MXOptions{TLS: config})
				for _, warm := range []bool{false, true} {
					if warm { // there is a connection that was made for another domain
						w.want(w.send("a@y.test"), good)
					}
					got := w.send("a@x.test")
					w.want(got, c.want)
					if c.reply != "" && got[0].Reply != c.reply {
						t.Errorf("%q", got[0].Reply)
					}
				}
				for _, sent := range m.Messages() {
					if !sent.TLS {
						t.Error("a message went in the clear")
					}
				}
			})
		}
	}
}

// TestSuitesOfGo: a host that knows better is spoken to with forward secrecy.
func TestSuitesOfGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config, _ := byRSA(t, tls.TLS_RSA_WITH_AES_128_GCM_SHA256)
	config.CipherSuites = append(config.CipherSuites, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA)
	w.mx(testkit.MXOptions{TLS: config})
	if got := w.send("a@x.test"); !strings.Contains(got[0].TLS, " TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, ") {
		t.Errorf("%+v", got[0])
	}
}

// TestWhatFailedOfTLS: a host is told to prove nothing where TLS itself failed.
func TestWhatFailedOfTLS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config func(*testkit.CA) *tls.Config
		want   string
	}{
		"no TLS in common":          {func(*testkit.CA) *tls.Config { return new(tls.Config) }, "TLS with mx.x.test failed: remote error: tls: "},
		"a certificate for another": {func(ca *testkit.CA) *tls.Config { return ca.ServerConfig(t, "other.test") }, "mx.x.test does not prove who it is, which the MTA-STS policy of x.test (id 1) demands: x509: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t)
			p.publish("1", "enforce", "mx.x.test")
			p.mx(testkit.MXOptions{TLS: c.config(p.ca)})
			got := p.send("a@x.test")
			p.want(got, "deferred 454 4.7.5 ours")
			if !strings.HasPrefix(got[0].Reply, c.want) || !strings.Contains(got[0].Reply, "the MTA-STS policy of x.test (id 1)") {
				t.Errorf("%q", got[0].Reply)
			}
		})
	}
}
