// Package dane proves mail servers by the TLSA records of their domains (RFC 6698,
// RFC 7671, RFC 7672).
package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"slices"
)

// What the numbers of a record mean that serve for mail (RFC 7218 §2).
const (
	usageTA, usageEE              = 2, 3
	selectCert, selectKey         = 0, 1
	matchFull, match256, match512 = 0, 1, 2
)

// Record is one TLSA record (RFC 6698 §2.1), from an answer that DNSSEC proves.
type Record struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// String is the record as zone files and TLS reports have it (RFC 6698 §2.2).
func (r Record) String() string { return fmt.Sprintf("%s %X", r.Kind(), r.Data) }

// Kind is the numbers of the record, like "3 1 1".
func (r Record) Kind() string { return fmt.Sprintf("%d %d %d", r.Usage, r.Selector, r.Matching) }

// ByName tells whether the record is of an authority, which proves a host only together
// with the names in its certificate (RFC 7672 §3.1.2).
func (r Record) ByName() bool { return r.Usage == usageTA }

// usable tells whether a server can be proven by the record (RFC 6698 §4.1). RFC
// 7672 §3.1.3: usages 0 and 1 ask for authorities that all servers agree on, and
// mail has none.
func (r Record) usable() bool {
	if r.Usage != usageTA && r.Usage != usageEE || r.Selector > selectKey {
		return false
	}
	switch r.Matching {
	case matchFull:
		_, _, err := r.content()
		return err == nil
	case match256:
		return len(r.Data) == sha256.Size
	case match512:
		return len(r.Data) == sha512.Size
	}
	return false
}

// content is what a record in full holds: a certificate, or a key.
func (r Record) content() (cert *x509.Certificate, key any, err error) {
	if r.Selector == selectCert {
		cert, err = x509.ParseCertificate(r.Data)
		return cert, nil, err
	}
	key, err = x509.ParsePKIXPublicKey(r.Data)
	return nil, key, err
}

// matches tells whether a certificate is the one that the record means.
func (r Record) matches(cert *x509.Certificate) bool {
	selected := cert.Raw
	if r.Selector == selectKey {
		selected = cert.RawSubjectPublicKeyInfo
	}
	switch r.Matching {
	case matchFull:
		return bytes.Equal(selected, r.Data)
	case match256:
		sum := sha256.Sum256(selected)
		return bytes.Equal(sum[:], r.Data)
	case match512:
		sum := sha512.Sum512(selected)
		return bytes.Equal(sum[:], r.Data)
	}
	return false
}

// Usable returns the records that a server is to be proven by. RFC 7671 §9: where
// the same is published by digests of several kinds, only the strongest counts, so
// that a weak one cannot be used against those who know better; records in full
// always count. If there are none of all records, the server must be spoken to over
// TLS, but cannot be proven (RFC 7672 §2.2).
func Usable(records []Record) []Record {
	type group struct{ usage, selector uint8 }
	strongest := map[group]uint8{}
	var out []Record
	for _, r := range records {
		if r.usable() {
			g := group{r.Usage, r.Selector}
			strongest[g] = max(strongest[g], r.Matching) // SHA2-512 is 2, SHA2-256 is 1
			out = append(out, r)
		}
	}
	return slices.DeleteFunc(out, func(r Record) bool {
		return r.Matching != matchFull && r.Matching != strongest[group{r.Usage, r.Selector}]
	})
}
