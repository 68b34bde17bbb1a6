package outbound

import "time"

// Timeouts are how long we wait for a remote in each phase; 0 = what RFC 5321
// asks for.
type Timeouts struct {
	Greeting  time.Duration // and EHLO, STARTTLS, AUTH
	Command   time.Duration // MAIL, RCPT
	DataStart time.Duration // the reply to DATA
	DataBlock time.Duration // each part of the message
	DataEnd   time.Duration // the reply to the final dot
}

func (t Timeouts) withDefaults() Timeouts {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	// RFC 5321 §4.5.3.2.1
	def(&t.Greeting, 5*time.Minute)
	// RFC 5321 §4.5.3.2.2 and §4.5.3.2.3
	def(&t.Command, 5*time.Minute)
	// RFC 5321 §4.5.3.2.4
	def(&t.DataStart, 2*time.Minute)
	// RFC 5321 §4.5.3.2.5
	def(&t.DataBlock, 3*time.Minute)
	// RFC 5321 §4.5.3.2.6
	def(&t.DataEnd, 10*time.Minute)
	return t
}

// glance is for what has reached us already.
const glance = 10 * time.Millisecond

// quitTimeout is for the farewell, which nobody depends on, and for what a host may have
// said besides.
const quitTimeout = 2 * time.Second
