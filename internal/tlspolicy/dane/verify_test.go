package dane_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/tlspolicy/dane"
)

// issuer is a certificate with its key.
type issuer struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func now() time.Time { return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC) }

// issue makes a certificate, of itself if by is nil, that change may alter first.
func issue(t testing.TB, by *issuer, name string, change ...func(*x509.Certificate)) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: now().AddDate(-1, 0, 0), NotAfter: now().AddDate(1, 0, 0),
	}
	for _, f := range change {
		f(template)
	}
	parent := &issuer{template, key}
	if by != nil {
		parent = by
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.Certificate, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func noPath(c *x509.Certificate) { c.MaxPathLenZero = true }

func expired(c *x509.Certificate) { c.NotAfter = now().Add(-time.Hour) }

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// tlsa is a record that a certificate matches.
func tlsa(usage, selector, matching uint8, c *issuer) dane.Record {
	data := c.Raw
	if selector == 1 {
		data = c.RawSubjectPublicKeyInfo
	}
	switch matching {
	case 1:
		sum := sha256.Sum256(data)
		data = sum[:]
	case 2:
		sum := sha512.Sum512(data)
		data = sum[:]
	}
	return dane.Record{Usage: usage, Selector: selector, Matching: matching, Data: data}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, "root", authority)
	middle := issue(t, root, "middle", authority)
	leaf := issue(t, middle, "leaf", named("mx.x.test", "*.wild.test"))
	old := issue(t, middle, "old", named("mx.x.test"), expired)
	oldCA := issue(t, nil, "old root", authority, expired)
	ofOld := issue(t, oldCA, "leaf", named("mx.x.test"))
	alone := issue(t, nil, "self", named("mx.x.test"))
	stranger := issue(t, nil, "stranger", authority)
	byName := issue(t, root, "mx.x.test")
	plain := issue(t, nil, "no authority")
	ofPlain := issue(t, plain, "leaf", named("mx.x.test"))
	narrow := issue(t, nil, "narrow", authority, noPath)
	below := issue(t, narrow, "below", authority)
	tooDeep := issue(t, below, "leaf", named("mx.x.test"))
	unknown := dane.Record{Usage: 3, Selector: 1, Matching: 9, Data: []byte("x")}
	x := func(list ...*issuer) []*issuer { return list }
	r := func(list ...dane.Record) []dane.Record { return list }
	ours := []string{"mx.x.test", "x.test"}
	for _, c := range []struct {
		name    string
		records []dane.Record
		names   []string
		chain   []*issuer
		want    bool
	}{
		{"3 1 1", r(tlsa(3, 1, 1, leaf)), ours, x(leaf, middle), true},
		{"3 1 2", r(tlsa(3, 1, 2, leaf)), ours, x(leaf), true},
		{"3 1 0", r(tlsa(3, 1, 0, leaf)), ours, x(leaf), true},
		{"3 0 1", r(tlsa(3, 0, 1, leaf)), ours, x(leaf), true},
		{"3 0 2", r(tlsa(3, 0, 2, leaf)), ours, x(leaf), true},
		{"3 0 0", r(tlsa(3, 0, 0, leaf)), ours, x(leaf), true},
		{"3 1 1 of another", r(tlsa(3, 1, 1, stranger)), ours, x(leaf, middle), false},
		{"3 1 1 of one above", r(tlsa(3, 1, 1, middle)), ours, x(leaf, middle), false},
		{"3 1 1 of the new or the old key", r(tlsa(3, 1, 1, stranger), tlsa(3, 1, 1, leaf)), ours, x(leaf), true},
		{"3 1 1, another name", r(tlsa(3, 1, 1, leaf)), []string{"elsewhere.test"}, x(leaf), true},
		{"3 1 1, expired", r(tlsa(3, 1, 1, old)), ours, x(old), true},
		{"3 1 1, self-signed", r(tlsa(3, 1, 1, alone)), ours, x(alone), true},
		{"2 0 1 of the root", r(tlsa(2, 0, 1, root)), ours, x(leaf, middle, root), true},
		{"2 1 1 of the root", r(tlsa(2, 1, 1, root)), ours, x(leaf, middle, root), true},
		{"2 0 2 of the one between", r(tlsa(2, 0, 2, middle)), ours, x(leaf, middle), true},
		{"2 1 1 of the one between", r(tlsa(2, 1, 1, middle)), ours, x(leaf, middle, root), true},
		{"2 0 1 of a root that is not sent", r(tlsa(2, 0, 1, root)), ours, x(leaf, middle), false},
		{"2 0 0 of a root that is not sent", r(tlsa(2, 0, 0, root)), ours, x(leaf, middle), true},
		{"2 1 0 of a root that is not sent", r(tlsa(2, 1, 0, root)), ours, x(leaf, middle), true},
		{"2 1 0 of a root that is sent", r(tlsa(2, 1, 0, root)), ours, x(leaf, middle, root), true},
		{"2 1 0 of another root", r(tlsa(2, 1, 0, stranger)), ours, x(leaf, middle), false},
		{"2 0 0 of another root", r(tlsa(2, 0, 0, stranger)), ours, x(leaf, middle), false},
		{"2 1 0 of what signed the certificate itself", r(tlsa(2, 1, 0, middle)), ours, x(leaf), true},
		{"2 1 0, expired", r(tlsa(2, 1, 0, middle)), ours, x(old), false},
		{"2 1 0, another name", r(tlsa(2, 1, 0, middle)), []string{"elsewhere.test"}, x(leaf), false},
		{"2 0 1 without the one between", r(tlsa(2, 0, 1, root)), ours, x(leaf, root), false},
		{"2 0 1 of an authority that only stands there", r(tlsa(2, 0, 1, stranger)), ours, x(leaf, middle, stranger), false},
		{"2 0 1 of the certificate itself", r(tlsa(2, 0, 1, leaf)), ours, x(leaf), false},
		{"2 0 1, another name", r(tlsa(2, 0, 1, root)), []string{"elsewhere.test"}, x(leaf, middle, root), false},
		{"2 0 1, the second name", r(tlsa(2, 0, 1, root)), []string{"elsewhere.test", "MX.X.test."}, x(leaf, middle, root), true},
		{"2 0 1, a wildcard", r(tlsa(2, 0, 1, root)), []string{"a.wild.test"}, x(leaf, middle, root), true},
		{"2 0 1, a wildcard for two labels", r(tlsa(2, 0, 1, root)), []string{"a.b.wild.test"}, x(leaf, middle, root), false},
		{"2 0 1, the common name counts alone", r(tlsa(2, 0, 1, root)), ours, x(byName, root), true},
		{"2 0 1, the common name does not count beside others", r(tlsa(2, 0, 1, root)), []string{"leaf"}, x(leaf, middle, root), false},
		{"2 0 1, expired", r(tlsa(2, 0, 1, root)), ours, x(old, middle, root), false},
		{"2 0 1, an expired authority", r(tlsa(2, 0, 1, oldCA)), ours, x(ofOld, oldCA), false},
		{"2 0 1, not an authority", r(tlsa(2, 0, 1, plain)), ours, x(ofPlain, plain), false},
		{"2 0 1, longer than the authority allows", r(tlsa(2, 0, 1, narrow)), ours, x(tooDeep, below, narrow), false},
		{"2 1 1 fails, 3 1 1 is right", r(tlsa(2, 1, 1, stranger), tlsa(3, 1, 1, leaf)), ours, x(leaf, middle), true},
		{"3 1 1 fails, 2 1 1 is right", r(tlsa(3, 1, 1, stranger), tlsa(2, 1, 1, root)), ours, x(leaf, middle, root), true},
		{"0 and 1 do not count", r(tlsa(0, 0, 1, root), tlsa(1, 1, 1, leaf)), ours, x(leaf, middle, root), false},
		{"unknown kinds do not count", r(unknown, tlsa(3, 1, 1, leaf)), ours, x(leaf), true},
		{"the weaker digest alone is right", r(tlsa(3, 1, 1, leaf), tlsa(3, 1, 2, stranger)), ours, x(leaf), false},
		{"the stronger digest alone is right", r(tlsa(3, 1, 1, stranger), tlsa(3, 1, 2, leaf)), ours, x(leaf), true},
		{"the record in full alone is right", r(tlsa(3, 1, 0, leaf), tlsa(3, 1, 2, stranger)), ours, x(leaf), true},
		{"a weaker digest of another selector", r(tlsa(3, 0, 1, leaf), tlsa(3, 1, 2, stranger)), ours, x(leaf), true},
		{"no certificate", r(tlsa(3, 1, 1, leaf)), ours, nil, false},
		{"no record", nil, ours, x(leaf), false},
	} {
		var chain []*x509.Certificate
		for _, i := range c.chain {
			chain = append(chain, i.Certificate)
		}
		if err := dane.Verify(c.records, c.names, chain, now()); (err == nil) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestVerifyTellsWhy(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, "root", authority)
	leaf := issue(t, root, "leaf", named("mx.x.test"))
	chain := []*x509.Certificate{leaf.Certificate, root.Certificate}
	for _, c := range []struct {
		record dane.Record
		chain  []*x509.Certificate
		want   error
	}{
		{tlsa(1, 1, 1, leaf), chain, dane.ErrNoRecord},
		{tlsa(3, 1, 1, leaf), nil, dane.ErrNoCertificate},
		{tlsa(3, 1, 1, root), chain, dane.ErrNoMatch},
		{tlsa(2, 1, 1, root), chain, dane.ErrName},
	} {
		if err := dane.Verify([]dane.Record{c.record}, []string{"other.test"}, c.chain, now()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.record.Kind(), err, c.want)
		}
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	if got := (dane.Record{Usage: 3, Selector: 1, Matching: 2, Data: []byte{0, 0xab}}).String(); got != "3 1 2 00AB" {
		t.Error(got)
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	cert := issue(t, nil, "a")
	for _, c := range []struct {
		name string
		list []dane.Record
		want []string
	}{
		{"all that are fine", []dane.Record{tlsa(3, 1, 1, cert), tlsa(2, 0, 1, cert), tlsa(3, 0, 0, cert), tlsa(2, 1, 0, cert)}, []string{"3 1 1", "2 0 1", "3 0 0", "2 1 0"}},
		{"usages of no use for mail", []dane.Record{tlsa(0, 0, 1, cert), tlsa(1, 1, 1, cert), tlsa(4, 1, 1, cert), tlsa(255, 1, 1, cert)}, nil},
		{"unknown selector", []dane.Record{{Usage: 3, Selector: 2, Matching: 1, Data: make([]byte, 32)}}, nil},
		{"unknown matching type", []dane.Record{{Usage: 3, Selector: 1, Matching: 3, Data: make([]byte, 48)}}, nil},
		{"digests of the wrong length", []dane.Record{
			{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 31)}, {Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 33)},
			{Usage: 3, Selector: 1, Matching: 2, Data: make([]byte, 32)}, {Usage: 3, Selector: 1, Matching: 1},
		}, nil},
		{"no certificate, no key", []dane.Record{{Usage: 3, Data: []byte("x")}, {Usage: 3, Selector: 1, Data: cert.Raw}, {Usage: 2, Data: cert.RawSubjectPublicKeyInfo}, {Usage: 2}}, nil},
		{"the strongest digest of each kind", []dane.Record{
			tlsa(3, 1, 1, cert), tlsa(3, 1, 2, cert), tlsa(3, 1, 0, cert), tlsa(3, 0, 1, cert), tlsa(2, 1, 1, cert),
		}, []string{"3 1 2", "3 1 0", "3 0 1", "2 1 1"}},
		{"a stronger digest that cannot be used", []dane.Record{tlsa(3, 1, 1, cert), {Usage: 3, Selector: 1, Matching: 2, Data: make([]byte, 32)}}, []string{"3 1 1"}},
	} {
		var got []string
		for _, r := range dane.Usable(c.list) {
			got = append(got, r.Kind())
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", c.name, got)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %q", c.name, got)
			}
		}
	}
}

// FuzzRecord reads records as a zone may have them: a server is proven by such a one
// alone only if it is what its own certificate gives, or names an authority.
func FuzzRecord(f *testing.F) {
	root := issue(f, nil, "root", authority)
	leaf := issue(f, root, "leaf", named("mx.x.test"))
	chain := []*x509.Certificate{leaf.Certificate, root.Certificate}
	for _, kind := range [][3]uint8{{3, 1, 1}, {3, 0, 2}, {3, 1, 0}, {2, 0, 0}, {2, 1, 0}, {2, 0, 1}, {1, 1, 1}} {
		for _, c := range []*issuer{leaf, root} {
			r := tlsa(kind[0], kind[1], kind[2], c)
			f.Add(r.Usage, r.Selector, r.Matching, r.Data)
		}
	}
	f.Add(uint8(3), uint8(1), uint8(1), []byte{})
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		r := dane.Record{Usage: usage, Selector: selector, Matching: matching, Data: data}
		usable := len(dane.Usable([]dane.Record{r})) == 1
		proven := dane.Verify([]dane.Record{r}, []string{"mx.x.test"}, chain, now()) == nil
		if proven && !usable {
			t.Error("proven by a record that cannot be used")
		}
		ours := leaf
		if usage == 2 {
			ours = root
		}
		want := usable && string(tlsa(usage, selector, matching, ours).Data) == string(data)
		if usage != 2 && proven != want || want && !proven {
			t.Errorf("proven %v, want %v", proven, want)
		}
	})
}
