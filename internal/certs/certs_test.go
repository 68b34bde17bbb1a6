package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const host = "mx1.example.test"

// open makes a Manager that logs to the returned buffer.
func open(t *testing.T, o Options) (*Manager, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	m, err := New(o, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return m, &log
}

// writePair writes a certificate of its own for name to dir, valid until notAfter.
func writePair(t *testing.T, dir, name string, notAfter time.Time) Options {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: notAfter.Add(-1000 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write(t, o.CertFile, encodeCert(der))
	write(t, o.KeyFile, keyPEM)
	return o
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSelfSignedVerifiesWithItsCA(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	m, _ := open(t, Options{DataDir: dir, Hostname: host})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(t, CAFile(dir))) {
		t.Fatal("no CA certificate")
	}
	for _, name := range []string{host, "localhost", "127.0.0.1", "::1"} {
		if _, err := m.Leaf().Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := m.Leaf().Verify(x509.VerifyOptions{DNSName: "other.test", Roots: roots}); err == nil {
		t.Error("verifies for another name")
	}
	want := map[string]os.FileMode{caFile: public, caKeyFile: private, serverFile: private}
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil || len(entries) != len(want) {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode() != want[e.Name()] {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	again, _ := open(t, Options{DataDir: dir, Hostname: host})
	if !again.Leaf().Equal(m.Leaf()) {
		t.Error("made anew without need")
	}
}

func TestSelfSignedHandshake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, _ := open(t, Options{DataDir: dir, Hostname: host})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, CAFile(dir)))
	verified := Verified(host, nil)
	verified.RootCAs = roots
	wrong := Verified("other.test", nil)
	wrong.RootCAs = roots
	cases := map[string]struct {
		client *tls.Config
		ok     bool
	}{
		"verified":        {verified, true},
		"wrong name":      {wrong, false},
		"unknown CA":      {Verified(host, nil), false},
		"any certificate": {Opportunistic("other.test", nil), true},
		"TLS 1.1":         {&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = tls.Server(ours, m.Server(never)).Handshake() // the client's side tells
				_ = ours.Close()
			}()
			err := tls.Client(theirs, c.client).Handshake()
			if (err == nil) != c.ok {
				t.Errorf("handshake: %v", err)
			}
			_ = theirs.Close()
			<-done
		})
	}
}

func never() bool { return false }

// TestNotedCertificate: a handshake leaves the certificate that it showed; a session is
// resumed for the same certificate alone, however often that is read.
func TestNotedCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m, _ := open(t, writePair(t, dir, "one.test", time.Now().Add(time.Hour)))
	server := m.Server(never)
	client := Opportunistic("one.test", tls.NewLRUClientSessionCache(1))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for _, c := range []struct {
		before  string
		change  func()
		name    string
		resumed bool
	}{
		{"the first", func() {}, "one.test", false},
		{"again", func() {}, "one.test", true},
		{"read again", func() {}, "one.test", true},
		{"renewed", func() { writePair(t, dir, "two.test", time.Now().Add(time.Hour)) }, "two.test", false},
		{"again", func() {}, "two.test", true},
	} {
		c.change()
		if err := m.Reload(); err != nil {
			t.Fatal(err)
		}
		var shown *x509.Certificate
		done := make(chan error, 1)
		go func() {
			ours, err := listener.Accept()
			if err != nil {
				done <- err
				return
			}
			s := tls.Server(ours, server)
			if err = s.HandshakeContext(Noting(t.Context(), &shown)); err == nil {
				_, err = s.Write([]byte("x")) // behind its ticket
			}
			done <- errors.Join(err, s.Close())
		}()
		end, err := tls.Dial("tcp", listener.Addr().String(), client)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := end.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil || shown.DNSNames[0] != c.name || !end.ConnectionState().PeerCertificates[0].Equal(shown) {
			t.Errorf("%s: shown %v, %v", c.before, shown.DNSNames, err)
		}
		if resumed := end.ConnectionState().DidResume; resumed != c.resumed {
			t.Errorf("%s: resumed %v", c.before, resumed)
		}
		_ = end.Close() // the server may have closed it
	}
}

func TestSelfSignedIsRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m, _ := open(t, Options{DataDir: dir, Hostname: host})
		ca, first := read(t, CAFile(dir)), m.Leaf()
		time.Sleep(lifetime - renewalMargin)
		if err := m.Reload(); err != nil || !m.Leaf().Equal(first) {
			t.Errorf("renewed with thirty days left: %v", err)
		}
		time.Sleep(time.Second)
		if err := m.Reload(); err != nil || m.Leaf().Equal(first) {
			t.Errorf("not renewed with less than thirty days left: %v", err)
		}
		second := m.Leaf()
		if err := m.Use(Options{DataDir: dir, Hostname: "mx2.example.test"}); err != nil || m.Leaf().Equal(second) {
			t.Errorf("not made anew for another name: %v", err)
		}
		if !bytes.Equal(ca, read(t, CAFile(dir))) {
			t.Error("the CA changed")
		}
		time.Sleep(caLifetime)
		if err := m.Reload(); err == nil || !strings.Contains(err.Error(), "expired on") {
			t.Errorf("an expired CA: %v", err)
		}
	})
}

func TestSelfSignedAfterDamage(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		damage  func(t *testing.T, dir string)
		wantErr string // empty: recovers
		keepsCA bool
	}{
		"server file lost": {func(t *testing.T, dir string) { remove(t, dir, serverFile) }, "", true},
		"server file torn": {func(t *testing.T, dir string) {
			path := filepath.Join(dir, serverFile)
			write(t, path, read(t, path)[:200])
		}, "", true},
		"CA key lost, server certificate good": {func(t *testing.T, dir string) { remove(t, dir, caKeyFile) }, "", true},
		"CA key and server file lost": {func(t *testing.T, dir string) {
			remove(t, dir, caKeyFile)
			remove(t, dir, serverFile)
		}, "restore ca.pem and ca.key", true},
		"CA torn":                          {func(t *testing.T, dir string) { write(t, filepath.Join(dir, caFile), []byte("no")) }, "restore ca.pem and ca.key", false},
		"died before the CA's certificate": {func(t *testing.T, dir string) { remove(t, dir, caFile); remove(t, dir, serverFile) }, "", false},
		"CA moved away":                    {func(t *testing.T, dir string) { remove(t, dir, caFile); remove(t, dir, caKeyFile) }, "", false},
		"CA key torn and its certificate gone": {func(t *testing.T, dir string) {
			remove(t, dir, caFile)
			write(t, filepath.Join(dir, caKeyFile), []byte("no"))
		}, "no key in PEM form", false},
		"CA key of another CA, server file lost": {func(t *testing.T, dir string) {
			remove(t, dir, serverFile)
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			data, err := encodeKey(key)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, caKeyFile), data)
		}, "restore ca.pem and ca.key", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{DataDir: t.TempDir(), Hostname: host}
			open(t, o)
			ca := read(t, CAFile(o.DataDir))
			c.damage(t, filepath.Join(o.DataDir, folder))
			m, err := New(o, slog.New(slog.DiscardHandler))
			if c.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), c.wantErr) {
					t.Fatalf("got %v, want %q", err, c.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			now := read(t, CAFile(o.DataDir))
			if c.keepsCA && !bytes.Equal(ca, now) {
				t.Error("the CA changed")
			}
			if !signedBy(m.Leaf(), CAFile(o.DataDir)) {
				t.Error("the certificate is not of the CA")
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestReloadKeepsTheOldCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := writePair(t, dir, "one.test", time.Now().Add(100*time.Hour))
	m, _ := open(t, o)
	cert, key := read(t, o.CertFile), read(t, o.KeyFile)

	writePair(t, dir, "two.test", time.Now().Add(100*time.Hour))
	if err := m.Reload(); err != nil || m.Leaf().DNSNames[0] != "two.test" {
		t.Fatalf("%v, %v", err, m.Leaf().DNSNames)
	}
	bad := map[string]func(){
		"mismatched":  func() { write(t, o.CertFile, cert) },
		"garbage":     func() { write(t, o.KeyFile, []byte("garbage")) },
		"expired":     func() { writePair(t, dir, "old.test", time.Now().Add(-time.Hour)) },
		"file absent": func() { remove(t, dir, "cert.pem") },
	}
	for _, name := range []string{"mismatched", "garbage", "expired", "file absent"} {
		bad[name]()
		if err := m.Reload(); err == nil || !strings.Contains(err.Error(), o.CertFile) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
		if m.Leaf().DNSNames[0] != "two.test" {
			t.Fatalf("%s: the old certificate is gone", name)
		}
	}
	if err := m.Use(Options{CertFile: o.CertFile}); err == nil {
		t.Error("a certificate without key accepted")
	}
	write(t, o.CertFile, cert)
	write(t, o.KeyFile, key)
	if err := m.Reload(); err != nil || m.Leaf().DNSNames[0] != "one.test" {
		t.Errorf("after repair: %v", err)
	}
}

func TestExpiredPairAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := writePair(t, dir, "one.test", time.Now().Add(-time.Hour))
	m, log := open(t, o)
	if !strings.Contains(log.String(), "certificate has expired") {
		t.Errorf("no warning: %q", log.String())
	}
	if err := m.Reload(); err != nil {
		t.Errorf("no worse than before: %v", err)
	}
	writePair(t, dir, "two.test", time.Now().Add(time.Hour))
	if err := m.Reload(); err != nil || m.Leaf().DNSNames[0] != "two.test" {
		t.Errorf("renewed: %v", err)
	}
}

func TestUnwritableFolder(t *testing.T) {
	t.Parallel()
	// A file where the folder should be fails for root too.
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		if _, err := New(Options{DataDir: dir, Hostname: host}, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "taken"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeAtomically(filepath.Join(dir, "taken"), []byte("x"), private); err == nil {
		t.Error("replaced a folder")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("a failed write leaves %v, %v", entries, err)
	}
	if os.Geteuid() == 0 {
		return // root writes everywhere
	}
	locked := t.TempDir()
	if err := os.Chmod(locked, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{DataDir: locked, Hostname: host}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error in a folder without write permission")
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m, _ := open(t, Options{DataDir: t.TempDir(), Hostname: host})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if m.Leaf() == nil {
					t.Error("no certificate")
				}
				if err := m.Reload(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
