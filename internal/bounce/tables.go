package bounce

import (
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// occasion is why a report is written.
type occasion struct {
	notify  mail.Notify
	kind    event.Kind
	subject string
	intro   string
	returns bool // the message, and not only its header, if the sender asked for it (RFC 3461 §6.3)
}

// concerns tells whether the sender wants to hear of a recipient. Of a success
// the queue tells only where somebody wants to know.
func (o occasion) concerns(r queue.Recipient) bool {
	if r.State == queue.Served {
		return r.Notify&mail.NotifyNever == 0
	}
	return r.Notify.Wants(o.notify)
}

// The occasions.
var (
	failure = occasion{
		notify: mail.NotifyFailure, kind: event.Bounced,
		subject: "Undelivered mail returned to sender",
		intro:   "Your message could not be delivered to the following recipients. We will not try again.\n",
		returns: true,
	}
	success = occasion{
		notify: mail.NotifySuccess, kind: event.Relayed,
		subject: "Delivered mail (as you asked to be told)",
		intro:   "Your message has reached the following recipients.\n",
	}
	delay = occasion{
		notify: mail.NotifyDelay, kind: event.Delayed,
		subject: "Delayed mail (still being retried)",
		intro:   "Your message could not be delivered yet to the following recipients.\nWe keep trying; you need not send it again.\n",
	}
)
