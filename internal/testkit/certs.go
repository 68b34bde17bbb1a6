package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// CA is a certificate authority that lives as long as a test.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	pem  []byte
}

// validity is wide because the clock of a synctest bubble starts in the year
// 2000 and certificates must be good inside it as well as outside.
func validity() (from, to time.Time) {
	return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
}

// NewCA makes a fresh authority.
func NewCA(t testing.TB) *CA {
	t.Helper()
	key := newKey(t)
	from, to := validity()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "Hayauma test CA"},
		NotBefore:             from,
		NotAfter:              to,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatalf("test CA: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("test CA: %v", err)
	}
	ca := &CA{cert: cert, key: key, pool: x509.NewCertPool(), pem: pemBlock("CERTIFICATE", der)}
	ca.pool.AddCert(cert)
	return ca
}

// PEM is the authority's certificate, for the trust file of another program.
func (ca *CA) PEM() []byte { return ca.pem }

// Pool trusts this authority and no other.
func (ca *CA) Pool() *x509.CertPool { return ca.pool }

// Certificate issues a certificate for host names and IP addresses, or one of a
// user for mail addresses.
func (ca *CA) Certificate(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	der, key := ca.issue(t, names)
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}
}

// Expired is ServerConfig with a certificate that was good once.
func (ca *CA) Expired(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	from, _ := validity()
	der, key := ca.issueFor(t, names, from, from.AddDate(0, 1, 0))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

// ServerConfig is a server's TLS configuration with a certificate for names.
func (ca *CA) ServerConfig(t testing.TB, names ...string) *tls.Config {
	t.Helper()
	return &tls.Config{Certificates: []tls.Certificate{ca.Certificate(t, names...)}, MinVersion: tls.VersionTLS12}
}

// ClientConfig trusts this authority and expects a certificate for serverName.
func (ca *CA) ClientConfig(serverName string) *tls.Config {
	return &tls.Config{RootCAs: ca.pool, ServerName: serverName, MinVersion: tls.VersionTLS12}
}

// Files writes cert.pem (with the chain), key.pem and ca.pem for names into a
// temporary folder and returns the first two paths; ca.pem lies beside them.
func (ca *CA) Files(t testing.TB, names ...string) (certFile, keyFile string) {
	t.Helper()
	der, key := ca.issue(t, names)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("test key: %v", err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, data := range map[string][]byte{
		certFile:                     append(pemBlock("CERTIFICATE", der), ca.pem...),
		keyFile:                      pemBlock("PRIVATE KEY", keyDER),
		filepath.Join(dir, "ca.pem"): ca.pem,
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatalf("test certificate: %v", err)
		}
	}
	return certFile, keyFile
}

func (ca *CA) issue(t testing.TB, names []string) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	from, to := validity()
	return ca.issueFor(t, names, from, to)
}

func (ca *CA) issueFor(t testing.TB, names []string, from, to time.Time) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	if len(names) == 0 {
		t.Fatal("test certificate: no name given")
	}
	key := newKey(t)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("test certificate: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: names[0]},
		NotBefore:    from,
		NotAfter:     to,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		switch ip := net.ParseIP(name); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case strings.Contains(name, "@"):
			template.EmailAddresses = append(template.EmailAddresses, name)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatalf("test certificate: %v", err)
	}
	return der, key
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("test key: %v", err)
	}
	return key
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
