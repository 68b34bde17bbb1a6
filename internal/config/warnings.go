package config

import "time"

// Warnings returns a sentence for each setting that is allowed, but that other
// mail software does not expect. Each names its key.
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
	return out
}
