// Package certs keeps the certificate that the server shows.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options says where the certificate comes from.
type Options struct {
	CertFile string // PEM chain; empty, with KeyFile: a self-signed one is made in DataDir/tls
	KeyFile  string // PEM key of CertFile
	DataDir  string // used only when CertFile is empty
	Hostname string // the name in the self-signed certificate
}

// Manager holds the certificate in use. All methods are safe for concurrent use.
type Manager struct {
	log     *slog.Logger
	current atomic.Pointer[shown]

	mu      sync.Mutex // of options and of who stores current
	options Options
}

// New loads the certificate, or makes one when none is named. A named one that
// has expired is used, with a warning: to stop all mail would be worse.
func New(o Options, log *slog.Logger) (*Manager, error) {
	m := &Manager{log: log, options: o}
	cert, err := load(o)
	if err != nil {
		return nil, err
	}
	if expired(cert.Leaf) {
		log.Warn("certificate has expired", "file", o.CertFile, "not_after", cert.Leaf.NotAfter)
	}
	m.show(cert)
	return m, nil
}

// Leaf returns the certificate in use, without its chain.
func (m *Manager) Leaf() *x509.Certificate { return m.current.Load().leaf }

// Reload reads the files again and renews the self-signed certificate when it is
// due. After an error the old certificate stays in use.
func (m *Manager) Reload() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	cert, err := m.check(m.options)
	if err != nil {
		return err
	}
	m.show(cert)
	return nil
}

// Use is Reload with other options. After an error the old options stay, too.
func (m *Manager) Use(o Options) error {
	commit, err := m.Prepare(o)
	if err != nil {
		return err
	}
	commit()
	return nil
}

// Prepare loads and checks the certificate of other options. It is not shown
// before commit is called, which cannot fail.
func (m *Manager) Prepare(o Options) (commit func(), err error) {
	cert, err := m.check(o)
	if err != nil {
		return nil, err
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.options = o
		m.show(cert)
	}, nil
}

// check returns the certificate of options if it may take the place of the
// one in use.
func (m *Manager) check(o Options) (*tls.Certificate, error) {
	cert, err := load(o)
	if err != nil {
		return nil, err
	}
	// An expired file in place of a valid certificate is a mistake of whoever
	// copied it; when both have expired the new one is at least no worse.
	if expired(cert.Leaf) && !expired(m.Leaf()) {
		return nil, fmt.Errorf("certificate %s expired on %s; renew it", o.CertFile, cert.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return cert, nil
}

// expired tells whether the certificate is no longer valid.
func expired(c *x509.Certificate) bool { return time.Now().After(c.NotAfter) }

// load reads the named pair, or loads or makes the self-signed one.
func load(o Options) (*tls.Certificate, error) {
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("certificate: cert_file and key_file go together; set both or none")
	}
	if o.CertFile == "" {
		cert, err := selfSigned(o)
		if err != nil {
			return nil, fmt.Errorf("self-signed certificate: %w", err)
		}
		return cert, nil
	}
	cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", o.CertFile, o.KeyFile, err)
	}
	return &cert, nil
}
