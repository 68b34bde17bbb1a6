package queue

import (
	"cmp"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// giveBackMicros is how long a recipient rests that a deliverer gave back
// without having tried, so that nobody spins.
const giveBackMicros = 10_000_000

// maxReply bounds what is kept of a remote's words.
const maxReply = 2000

// verdict is what an outcome does to a recipient.
type verdict struct {
	r       Recipient // as it is afterwards; State gone = it leaves
	expired bool
	granted wish // a wish that came true
}

// apply is pure: it says what becomes of a leased recipient of a message that
// expires at a time, given an outcome at now and what somebody wished
// meanwhile.
func apply(r Recipient, o Outcome, c circumstances) verdict {
	if o.Result < Delivered || o.Result > CutOff {
		o.Result = TryLater // what is unknown is temporary
	}
	v := verdict{r: r}
	if o.Result != NotTried {
		v.r.Attempts++ // of one cut off too: who recalls the message must know that somebody may have it
	}
	failures := v.r.Attempts
	if !r.found() {
		failures = 1
	}
	if o.Result != NotTried && o.Result != CutOff {
		v.r.Code, v.r.Enhanced, v.r.Ours, v.r.Host = o.Code, o.Enhanced, o.Ours, o.Host
		v.r.Reply = o.Reply[:min(len(o.Reply), maxReply)]
	}
	switch {
	case o.Result == Delivered && c.reports && owed(r, o, c):
		v.r.State, v.r.Next = Served, 0
	case o.Result == Delivered:
		v.r.State = gone
	case c.wish == wishDelete:
		v.r.State, v.granted = gone, c.wish
	case o.Result == Refused:
		v.r.State = Failed
	case c.wish == wishBounce:
		v.r, v.granted = bounced(v.r), c.wish
	case o.Result == TryLater && c.now >= c.expires && (!o.Shared || o.Started >= c.expires):
		// Only an attempt that begins after the lifetime and fails ends it, or that
		// nothing may go (see postpone), never the clock alone: a server that was off
		// for a week tries once more.
		v.r.State, v.r.Expired, v.expired = Failed, true, true
	case c.wish == wishHold, c.wish == wishHoldAccount:
		v.r.State, v.r.Holder, v.granted = Held, c.wish.holder(), c.wish
	case o.Result == CutOff:
		v.r.State, v.r.Next = Queued, c.now
	case o.Result == NotTried:
		v.r.State, v.r.Next = Queued, c.now
		if !c.stopping {
			v.r.Next = c.rested(next(c.now, c.expires, max(o.Again, giveBackMicros*time.Microsecond)), r.Next)
		}
	default: // TryLater
		v.r.State = Deferred
		v.r.Next = next(c.now, c.expires, cmp.Or(o.Again, spread(wait(failures, c.settings.Retry), v.r.ID)))
	}
	return v
}

// circumstances are what an outcome meets.
type circumstances struct {
	now, expires int64
	wish         wish
	stopping     bool
	by           mail.DeliverBy
	reports      bool // there is a sender who can be told of success
	settings     Settings
}

// rested is when a recipient is due that rests until a time, and was due at another: it
// is looked at once more when it is worth nothing any more (RFC 2852 §4.1.3).
func (c *circumstances) rested(until, was int64) int64 {
	if by := c.by.At; c.by.Return && by > c.now && by < until && by != was { // see claimed
		return by
	}
	return until
}

// owed tells whether the sender is to hear of a success: because of NOTIFY, unless
// the remote tells of it, or because nobody will watch the time from here on, or
// each step was to be told (RFC 2852 §4.1.4).
func owed(r Recipient, o Outcome, c circumstances) bool {
	if r.Notify.Wants(mail.NotifySuccess) && !o.Reports {
		return true
	}
	if r.Site == SiteLocal || r.Notify&mail.NotifyNever != 0 {
		return false
	}
	return c.by.Trace || c.by.At > c.now && !c.by.Return && !o.Watches
}

// bounced is a recipient that somebody gave up by hand. What its last attempt found stays:
// its sender is to hear why it took so long.
func bounced(r Recipient) Recipient {
	r.State, r.Expired, r.ByHand = Failed, false, true
	if !r.found() {
		r.Code, r.Enhanced, r.Ours = 554, "5.0.0", true
		r.Reply, r.Host = "Returned by the administrator", ""
	}
	return r
}

// found tells whether an attempt has found anything: not if there was none, or it was cut
// off, or died with its process.
func (r *Recipient) found() bool { return r.Code != 0 || r.Reply != "" }
