package config

import (
	"net/netip"
	"slices"
	"time"
)

// Warnings returns a sentence for each setting that is allowed, but rarely meant. Each
// names its key.
func (c *Config) Warnings() []string {
	var out []string
	warn := func(when bool, text string) {
		if when {
			out = append(out, text)
		}
	}
	// RFC 5321 §4.5.3.1.8
	warn(c.Limits.Recipients < 100,
		"limits.recipients is below the 100 that other servers count on; mail to many recipients will be split or fail")
	// RFC 5321 §4.5.3.2.7
	warn(c.Timeouts.SMTPCommand < 5*time.Minute, "timeouts.smtp_command is below the five minutes that other servers count on")
	// RFC 5321 §4.5.3.2.5
	warn(c.Timeouts.DataBlock < 3*time.Minute, "timeouts.data_block is below the three minutes that other servers count on")
	// RFC 3501 §5.4
	warn(c.Timeouts.IMAPIdle < 30*time.Minute, "timeouts.imap_idle is below thirty minutes; clients in IDLE will be cut off")
	// RFC 1939 §3
	warn(c.Timeouts.POP3Idle < 10*time.Minute, "timeouts.pop3_idle is below ten minutes; slow clients will be cut off")
	warn(c.Auth.AllowCleartext, "auth.allow_cleartext lets passwords cross the network in the clear; it is for tests only")
	warn((c.Limits.ConnectionsPerAddress == 0) != (c.Limits.LoginFailuresPerAddress == 0),
		"limits.connections_per_address and limits.login_failures_per_address: 0 for one of them lifts the other too")
	const everybody = " takes in much of the Internet; "
	warn(wide(c.Relay.Networks), "relay.networks"+everybody+"whoever is there may send to anybody through this server, which others will block: list hosts of your own only")
	warn(wide(c.SMTP.Fronts), "smtp.fronts"+everybody+"whoever is there may come as any address and any account: list filters and proxies of your own only")
	warn(wide(c.Proxy.Networks), "proxy.networks"+everybody+"whoever is there may come as any address, and gets in by a PROXY header alone: list load balancers of your own only")
	return out
}

// wide tells whether networks hold more than those that are set aside for private use:
// 10.0.0.0/8 (RFC 1918 §3) and fc00::/7 (RFC 4193 §3.1) are the largest.
func wide(networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool {
		return p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 7
	})
}
