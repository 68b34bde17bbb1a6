package queue

import (
	"net/netip"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// SiteLocal is the site of recipients that are at home here but too many for
// the accepting transaction.
const SiteLocal = "local"

// State is where a recipient stands. Recipients that are done have no row any
// more: the events keep their story. See doc.go for who may move which.
type State uint8

// The states of a recipient.
const (
	Queued   State = iota + 1 // due at Next
	Leased                    // an attempt runs, or is about to
	Deferred                  // an attempt failed for now; due again at Next
	Failed                    // will not be delivered; its bounce is still to be written
	Held                      // waits until somebody releases it
	Served                    // has its message; the report of that, which the sender wants, is still to be written
)

// String returns the state's name as it stands in listings.
func (s State) String() string {
	switch s {
	case Queued:
		return "queued"
	case Leased:
		return "leased"
	case Deferred:
		return "deferred"
	case Failed:
		return "failed"
	case Held:
		return "held"
	case Served:
		return "served"
	}
	return "unknown"
}

// Holder is who keeps a recipient on hold.
type Holder uint8

// The holders. Their numbers are stored; those of earlier versions stored none.
const (
	HeldByHand      Holder = iota + 1 // somebody who used the verb
	HeldBySetting                     // Settings.Hold
	HeldAsItCame                      // whoever accepted it said so
	HeldUndeletable                   // it was to be deleted when its process died: nobody knows whether it is delivered
	HeldWithAccount                   // with all that its account has sent, until that is released
)

// Message is an accepted message with those of its recipients that are still
// to be served.
type Message struct {
	ID, Tenant, Account mail.ID // Account: whose login sent it, zero = nobody's
	Stream              string
	Tags                []string
	Body                mail.ID
	Prefix              []byte // header fields that stand before the shared body
	Size                int64  // octets of Prefix and body
	LongLines           bool   // some have more than 998 octets, which others need not take
	mail.Envelope
	Received, Expires int64 // microseconds
	Recipients        []Recipient
}

// Recipient is one recipient's way through the queue.
type Recipient struct {
	ID mail.ID
	mail.Recipient
	Site      string // where it goes: the domain's ASCII form, or SiteLocal
	State     State
	Attempts  int
	Next      int64 // microseconds: when the next attempt is due; of one that an attempt ended: when that was
	NotBefore int64 // microseconds: before it nobody gets the message (RFC 4865), on hold or not; 0 = its sender gave no time
	// The last attempt's findings, for listings and for the bounce.
	Code     int    // reply code, 0 = none yet
	Enhanced string // enhanced status code, empty = none given
	Reply    string // the remote's own words, or ours if Ours
	Ours     bool
	Host     string // the remote's name, empty = never reached
	Holder   Holder // of one that is Held; 0 = not known
	Expired  bool   // Failed because the lifetime is over
	ByHand   bool   // Failed because somebody gave it up
	Delayed  bool   // the sender has had a delay notice
	Wished   string // of one that is Leased: what it is to be unless the attempt delivers it, like "deleted"; empty = nothing
}

// Job is one message with those of its recipients that one attempt serves.
type Job struct {
	Message    *Message // its Recipients are not used
	Recipients []Recipient
	More       bool // others wait for the same site
	// Course is asked before each transaction but the first. nil = there may be any number.
	Course Course
}

// Course is how a job goes on that takes more than one transaction.
type Course interface {
	// Another records what became of those who are settled: all in outcomes who are not
	// in left. It returns those of left who may be tried in one more transaction: all but
	// those for whom somebody wished something else, who have the outcome given, or were
	// not tried. None = there shall be no more now, be it by the rate of the provider or
	// since the database does not keep up.
	Another(outcomes []Outcome, left []Recipient) []Recipient
}

// Result is what became of an attempt for one recipient.
type Result uint8

// The results of an attempt.
const (
	Delivered Result = iota + 1
	TryLater         // a temporary failure
	Refused          // a permanent failure
	NotTried         // the attempt never got as far as the message, or we are shutting down: nothing is counted
	CutOff           // we shut down before the reply to the whole message came: it may have been taken, and says nothing of the site
)

// String returns the result's name as it stands in metrics.
func (r Result) String() string {
	switch r {
	case Delivered:
		return "delivered"
	case TryLater:
		return "deferred"
	case Refused:
		return "failed"
	case NotTried:
		return "not_tried"
	case CutOff:
		return "cut_off"
	}
	return "unknown"
}

// Outcome is an attempt's result for one recipient, with what the trace shows.
type Outcome struct {
	Recipient      mail.ID
	Result         Result
	Host           string         // the MX's name
	Addr           netip.AddrPort // where the connection went
	Source         netip.Addr     // from where it was made, not valid if none was
	TLS            string         // "TLSv1.3 TLS_AES_128_GCM_SHA256, verified (DANE)", empty = cleartext
	Code           int
	Enhanced       string // "5.1.1", empty if the remote gave none
	Reply          string // the remote's own words, or ours if Ours
	Ours           bool   // Reply is our own finding: DNS, connection, time-out
	Reports        bool   // Delivered to a host that reports success itself (RFC 3461 §5.2.1)
	Watches        bool   // Delivered to a host that keeps to the sender's time itself (RFC 2852)
	Quotes         bool   // Ours with the words of a remote in them that speaks no SMTP: what is said of replies holds for it
	Unreached      bool   // TryLater: no host of the site could be reached, for this message or any other
	Strained       bool   // the host bears less than it was given
	Shared         bool   // found by the attempt of another message
	Aside          bool   // for a reason of ours or of the message alone: it says nothing of the site
	Warming        string // Delivered: the provider by whom it counts in the warm-up of Source; empty = it does not
	Rule           string // what a rule of the operator's made of the reply, in words; empty = nothing
	Started, Ended int64  // microseconds
	Before         []Try  // the addresses that were tried in vain before
	// Again is when the next attempt is wanted, after a TryLater; 0 = as Retry says.
	Again time.Duration
	// Pause is for how long the remote wants nothing, whatever the message; 0 = it said none.
	Pause time.Duration
	// Also runs in the commit that records the outcome; its error undoes that
	// outcome and makes it TryLater.
	Also func(*db.Tx) error
}

// Try is one address at which an attempt got nowhere, before it went on to the next.
type Try struct {
	At    int64 // microseconds
	Host  string
	Addr  netip.AddrPort // not valid if there is none
	Code  int            // of what the remote said; 0 = it said nothing
	Reply string         // the remote's words, or our finding
}

// Report is an outcome in its context, for the observer.
type Report struct {
	Message   *Message
	Recipient Recipient // as it is after the outcome
	Outcome
	Expired bool // given up because its lifetime is over
}
