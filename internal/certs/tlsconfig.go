package certs

import "crypto/tls"

// Server returns the TLS settings of our listeners: TLS 1.2 or later (RFC 8996),
// session tickets with keys that crypto/tls rotates as long as all listeners
// share this one value. protocols are the ALPN names, none for mail.
func (m *Manager) Server(protocols ...string) *tls.Config {
	return &tls.Config{
		GetCertificate: m.GetCertificate,
		MinVersion:     tls.VersionTLS12,
		NextProtos:     protocols,
	}
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
