package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Names in DataDir/tls. Certificate and key of the server stand in one file, so
// that one rename replaces both.
const (
	folder     = "tls"
	caFile     = "ca.pem"
	caKeyFile  = "ca.key"
	serverFile = "server.pem"
)

const (
	day           = 24 * time.Hour
	caLifetime    = 30 * 365 * day
	lifetime      = 397 * day // the longest that common clients take
	renewalMargin = 30 * day
	backdating    = day // for clients whose clock is behind
)

// CAFile returns where the CA of the self-signed certificate is, for clients
// that want to trust it.
func CAFile(dataDir string) string { return filepath.Join(dataDir, folder, caFile) }

// selfSigned returns the server certificate in o.DataDir/tls, made or renewed
// when it is missing, damaged, for another name or near its end.
func selfSigned(o Options) (*tls.Certificate, error) {
	dir := filepath.Join(o.DataDir, folder)
	if err := makeFolder(o.DataDir, dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, serverFile)
	cert, err := readPair(path, path)
	if err == nil && good(cert.Leaf, o.Hostname) && signedBy(cert.Leaf, filepath.Join(dir, caFile)) {
		return cert, nil
	}
	authority, err := loadAuthority(dir)
	if err != nil {
		return nil, err
	}
	block, err := authority.issue(o.Hostname)
	if err != nil {
		return nil, err
	}
	if err := writeAtomically(path, block, private); err != nil {
		return nil, err
	}
	return readPair(path, path)
}

// makeFolder makes dir in dataDir. Others may read the CA's certificate in it,
// if the operator opens dataDir to them.
func makeFolder(dataDir, dir string) error {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(dataDir)
}

// signedBy tells whether leaf comes from the CA whose certificate is at caPath:
// it does not after the operator has moved the CA away to get a new one.
func signedBy(leaf *x509.Certificate, caPath string) bool {
	data, err := os.ReadFile(caPath)
	if err != nil {
		return false
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	return err == nil && leaf.CheckSignatureFrom(ca) == nil
}

// good tells whether a certificate of ours can stay in use for hostname.
func good(leaf *x509.Certificate, hostname string) bool {
	now := time.Now()
	return slices.Equal(leaf.DNSNames, dnsNames(hostname)) &&
		now.After(leaf.NotBefore) && leaf.NotAfter.Sub(now) >= renewalMargin
}

// dnsNames returns the names in the certificate for hostname.
func dnsNames(hostname string) []string {
	return slices.Compact([]string{hostname, "localhost"})
}

// authority is our own CA.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// loadAuthority reads the CA, or makes it in a folder that has none. A CA that
// is there but broken is never replaced: clients trust it.
func loadAuthority(dir string) (*authority, error) {
	certPath, keyPath := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	if _, err := os.Stat(certPath); errors.Is(err, fs.ErrNotExist) {
		if err := makeAuthority(certPath, keyPath); err != nil {
			return nil, fmt.Errorf("make the CA: %w", err)
		}
	}
	pair, err := readPair(certPath, keyPath)
	if err == nil && expired(pair.Leaf) {
		err = fmt.Errorf("expired on %s", pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if err != nil {
		return nil, fmt.Errorf("CA in %s: %w; restore %s and %s from a backup, or move both away to have a new CA made, which clients must then trust anew",
			dir, err, caFile, caKeyFile)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that cannot sign", keyPath)
	}
	return &authority{cert: pair.Leaf, key: key}, nil
}

// makeAuthority writes the key first: dying before the certificate is written
// leaves a key that the next start takes up.
func makeAuthority(certPath, keyPath string) error {
	keyPEM, err := os.ReadFile(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if keyPEM, err = encodeKey(key); err != nil {
			return err
		}
		if err := writeAtomically(keyPath, keyPEM, private); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return fmt.Errorf("%s: %w", keyPath, err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Hayauma local CA", Organization: []string{"Hayauma"}},
		NotBefore:             now.Add(-backdating),
		NotAfter:              now.Add(caLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	return writeAtomically(certPath, encodeCert(der), public)
}

// issue makes a key and a certificate for hostname and this machine's own names,
// and returns both with the CA's certificate in PEM form.
func (a *authority) issue(hostname string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		// No common name: it is bounded to 64 bytes and no client reads it.
		Subject:               pkix.Name{Organization: []string{"Hayauma"}},
		NotBefore:             now.Add(-backdating),
		NotAfter:              now.Add(lifetime),
		DNSNames:              dnsNames(hostname),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(encodeCert(der), encodeCert(a.cert.Raw), keyPEM), nil
}

// readPair reads a certificate and its key, which may stand in one file.
func readPair(certPath, keyPath string) (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func decodeKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(bytes.TrimSpace(data))
	if block == nil {
		return nil, errors.New("no key in PEM form")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that cannot sign")
	}
	return key, nil
}
