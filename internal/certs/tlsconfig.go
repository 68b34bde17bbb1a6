package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
)

// shown is a certificate with the TLS settings of those it is shown to.
type shown struct {
	leaf          *x509.Certificate
	tickets       *tls.Config // has the keys of session tickets, which crypto/tls rotates
	plain, asking *tls.Config // asking is for a certificate of the client
}

// show has a certificate shown from now on. Tickets of another one are worth nothing
// then: a session that is resumed shows none, and both ends go by the one of the session
// (RFC 5929 §4). The caller holds m.mu, or has m alone.
func (m *Manager) show(cert *tls.Certificate) {
	s := &shown{leaf: cert.Leaf, tickets: &tls.Config{MinVersion: tls.VersionTLS12}}
	if last := m.current.Load(); last != nil && last.leaf.Equal(s.leaf) {
		s.tickets = last.tickets // it was only read again
	}
	s.plain = &tls.Config{
		Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12,
		WrapSession: s.tickets.EncryptTicket, UnwrapSession: s.tickets.DecryptTicket,
	}
	s.asking = s.plain.Clone()
	s.asking.ClientAuth = tls.RequestClientCert
	m.current.Store(s)
}

// Server returns the TLS settings of our listeners: TLS 1.2 or later (RFC 8996). While
// asks says so, clients are asked for a certificate: one that is not vouched for ends no
// handshake, since the servers that bring mail often show their own, of other authorities.
func (m *Manager) Server(asks func() bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			now := m.current.Load()
			if leaf, told := hello.Context().Value(leafKey{}).(**x509.Certificate); told {
				*leaf = now.leaf
			}
			if asks() {
				return now.asking, nil
			}
			return now.plain, nil
		},
	}
}

type leafKey struct{}

// Noting is the context of a handshake that leaves in leaf the certificate that it shows:
// crypto/tls does not tell a server, and another one may be in use since.
func Noting(ctx context.Context, leaf **x509.Certificate) context.Context {
	return context.WithValue(ctx, leafKey{}, leaf)
}

// Opportunistic returns the TLS settings towards a mail server whose name cannot
// be trusted anyway, because it came from DNS without proof: any certificate
// will do, since encryption alone still beats none (RFC 7435 §1). sessions
// remembers tickets over connections and may be nil.
func Opportunistic(serverName string, sessions tls.ClientSessionCache) *tls.Config {
	c := Verified(serverName, sessions)
	c.InsecureSkipVerify = true
	return c
}

// Verified returns the TLS settings towards a server that must prove serverName
// with a certificate of an authority that the system trusts.
func Verified(serverName string, sessions tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		ServerName:         serverName,
		MinVersion:         tls.VersionTLS12,
		ClientSessionCache: sessions,
	}
}
