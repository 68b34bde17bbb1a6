package mail

import "net/netip"

// Door is where a message came in.
type Door uint8

// The doors. Their names stand in events and logs.
const (
	DoorSMTP       Door = iota + 1 // server to server, port 25
	DoorSubmission                 // a user's login, ports 587, 465, 2525
	DoorLMTP                       // from another server of this house
	DoorBounce                     // a report that we made ourselves
	DoorCommand                    // the command line
)

// String returns the name of the door as it stands in events.
func (d Door) String() string {
	switch d {
	case DoorSMTP:
		return "smtp"
	case DoorSubmission:
		return "submission"
	case DoorLMTP:
		return "lmtp"
	case DoorBounce:
		return "bounce"
	case DoorCommand:
		return "command"
	}
	return "unknown"
}

// Origin is who brought a message: the facts of one session that outlive it in
// the trace header and the events.
type Origin struct {
	Door     Door
	Session  ID
	Peer     netip.AddrPort // zero for DoorBounce and unix sockets
	Helo     string         // as the peer named itself
	Protocol string         // the "with" of Received: ESMTP, ESMTPSA, LMTP ... (RFC 3848)
	TLS      string         // "TLSv1.3 TLS_AES_128_GCM_SHA256", empty = cleartext
	Tenant   ID
	Account  ID      // who logged in, zero = nobody
	Login    Address // that account's address
	// Forwarded is whom a filter in front of us said the client to be, for the
	// history alone; empty = nobody said.
	Forwarded string
	About     ID // of DoorBounce: the message that the report tells of
}

// Envelope is what MAIL said.
type Envelope struct {
	From     Address // zero = the null reverse-path
	Size     int64   // SIZE as declared, 0 = not declared
	EightBit bool    // BODY=8BITMIME
	UTF8     bool    // SMTPUTF8 (RFC 6531)
	Ret      string  // DSN RET: "FULL", "HDRS" or empty (RFC 3461 §4.3)
	EnvID    string  // DSN ENVID, decoded (RFC 3461 §4.4)
	// Release is until when the message waits before anybody gets it, in
	// microseconds; 0 = it does not (RFC 4865).
	Release int64
	// Until says that its sender gave Release as a date (HOLDUNTIL), and not as a wait from
	// acceptance on.
	Until      bool
	By         DeliverBy
	Priority   Priority
	RequireTLS bool // it goes to no host without TLS that proves who the host is (RFC 8689)
	// TLSOptional says that policies of its recipients' domains are to be put aside. Its
	// header says so, and MAIL not the contrary (RFC 8689 §3).
	TLSOptional bool
}

// Notify is the DSN NOTIFY parameter of a recipient (RFC 3461 §4.1).
type Notify uint8

// The bits of Notify. None set = not given: the sender hears of failure and
// delay.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Wants tells whether the sender should hear of an occasion.
func (n Notify) Wants(occasion Notify) bool {
	if n == 0 {
		return occasion == NotifyFailure || occasion == NotifyDelay
	}
	return n&occasion != 0
}

// WithoutSuccess is n for those whom the success of somebody else's delivery
// concerns no more: the members of a group (RFC 3461 §5.2.7.3).
func (n Notify) WithoutSuccess() Notify {
	if n&NotifySuccess == 0 {
		return n
	}
	if n &^= NotifySuccess; n == 0 {
		return NotifyNever
	}
	return n
}

// Recipient is what one RCPT said.
type Recipient struct {
	Address Address
	Notify  Notify
	ORCPT   string // original recipient "rfc822;a@b", decoded; empty = not given
}
