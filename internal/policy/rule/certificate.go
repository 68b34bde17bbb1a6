package rule

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"strings"
)

// Certificate is what a TLS client proved.
type Certificate struct {
	Fingerprint string // SHA-256 in lower-case hex, empty = no certificate
	// Name is the subject's common name, and empty if no CA that we trust
	// vouches for it: anybody can write any name.
	Name string
}

// CertificateOf returns what a connection's client proved; nil = it has no TLS. Its
// name counts only if an authority that we trust for this vouches for it.
func CertificateOf(cs *tls.ConnectionState, vouched bool) Certificate {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return Certificate{}
	}
	leaf := cs.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	c := Certificate{Fingerprint: hex.EncodeToString(sum[:])}
	if vouched {
		c.Name = leaf.Subject.CommonName
	}
	return c
}

func (c Certificate) String() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Fingerprint
}

// IsZero tells whether there is none.
func (c Certificate) IsZero() bool { return c.Fingerprint == "" && c.Name == "" }

var (
	errCertificate = errors.New("use a SHA-256 fingerprint, a common name in which * stands for any characters, or <> for none")
	errFingerprint = errors.New("a SHA-256 fingerprint has 64 hexadecimal digits, with or without colons")
)

// readCertificate takes a fingerprint, or else a common name.
func readCertificate(s string) (Certificate, error) {
	digits, named := strings.CutPrefix(strings.ToLower(s), "sha256:")
	digits = strings.ReplaceAll(digits, ":", "")
	_, err := hex.DecodeString(digits)
	switch {
	case err == nil && len(digits) == 2*sha256.Size:
		return Certificate{Fingerprint: digits}, nil
	case named || err == nil && len(digits) >= 32:
		return Certificate{}, errFingerprint
	case s == "" || s == none || len(s) > maxPattern || strings.TrimSpace(s) != s || strings.ContainsFunc(s, isControl):
		return Certificate{}, errCertificate
	}
	return Certificate{Name: s}, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }

func parseCertificate(value string) (matcher, error) {
	if value == none {
		return func(s *seen) bool { return s.facts.Certificate.IsZero() }, nil
	}
	want, err := readCertificate(value)
	if err != nil {
		return nil, err
	}
	if want.Fingerprint != "" {
		return func(s *seen) bool { return s.facts.Certificate.Fingerprint == want.Fingerprint }, nil
	}
	name := foldLocal(want.Name)
	return func(s *seen) bool {
		have := s.facts.Certificate.Name
		return have != "" && glob(name, foldLocal(have))
	}, nil
}
