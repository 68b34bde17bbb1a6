package dane

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Why a server is not proven.
var (
	ErrNoRecord      = errors.New("no TLSA record can be used")
	ErrNoCertificate = errors.New("the server showed no certificate")
	ErrNoMatch       = errors.New("the certificate matches no TLSA record")
	ErrName          = errors.New("the certificate is for other names")
)

// Verify tells whether the certificates that a server showed, its own first, are
// proven by one of the records: nil = they are. names are those by which the server
// may be known (RFC 7672 §3.2.2); they and the time count for records that name an
// authority, not for those that name the server's own certificate or key.
func Verify(records []Record, names []string, chain []*x509.Certificate, now time.Time) error {
	records = Usable(records)
	switch {
	case len(records) == 0:
		return ErrNoRecord
	case len(chain) == 0:
		return ErrNoCertificate
	}
	var why error
	for _, r := range records {
		switch {
		// RFC 7672 §3.1.1: neither names nor the time that it is valid count.
		case r.Usage == usageEE && r.matches(chain[0]):
			return nil
		case r.Usage == usageTA:
			// RFC 7672 §3.1.2
			for _, anchor := range r.anchors(chain) {
				if why = issued(anchor, names, chain, now); why == nil {
					return nil
				}
			}
		}
	}
	if why != nil {
		return why // there was an authority, which says more than that nothing matches
	}
	return ErrNoMatch
}

// anchors are the certificates that the record makes trusted.
func (r Record) anchors(chain []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range chain[1:] {
		if r.matches(c) {
			out = append(out, c)
		}
	}
	if len(out) > 0 || r.Matching != matchFull {
		return out
	}
	cert, key, err := r.content()
	top := chain[len(chain)-1]
	switch {
	case err != nil:
		return nil
	case cert != nil:
		// RFC 7671 §5.2.2: the server need not send this one.
		return []*x509.Certificate{cert}
	case top.CheckSignatureFrom(holder(key)) == nil:
		return []*x509.Certificate{top}
	}
	return nil
}

// holder is whoever has a bare key, of whom only what it signed is known (RFC 7671
// §5.2.3).
func holder(key any) *x509.Certificate {
	c := &x509.Certificate{PublicKey: key}
	switch key.(type) {
	case *rsa.PublicKey:
		c.PublicKeyAlgorithm = x509.RSA
	case *ecdsa.PublicKey:
		c.PublicKeyAlgorithm = x509.ECDSA
	case ed25519.PublicKey:
		c.PublicKeyAlgorithm = x509.Ed25519
	}
	return c
}

// issued tells whether the server's certificate comes from an authority and is for
// one of the names, now.
func issued(anchor *x509.Certificate, names []string, chain []*x509.Certificate, now time.Time) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	o.Roots.AddCert(anchor)
	for _, c := range chain[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return err
	}
	presented := chain[0]
	if len(presented.DNSNames) == 0 {
		// RFC 7672 §3.2.3: the old place of the name counts if there is no other.
		presented = &x509.Certificate{DNSNames: []string{presented.Subject.CommonName}}
	}
	for _, name := range names {
		if presented.VerifyHostname(strings.TrimSuffix(name, ".")) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w than %s", ErrName, strings.Join(names, ", "))
}
