package bounce

import (
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// occasion is why a report is written.
type occasion struct {
	notify  mail.Notify
	kind    event.Kind
	subject string
	intro   string
}

// The occasions.
var (
	failure = occasion{
		notify: mail.NotifyFailure, kind: event.Bounced,
		subject: "Undelivered mail returned to sender",
		intro:   "Your message could not be delivered to the following recipients. We will not try again.\n",
	}
	delay = occasion{
		notify: mail.NotifyDelay, kind: event.Delayed,
		subject: "Delayed mail (still being retried)",
		intro:   "Your message could not be delivered yet to the following recipients.\nWe keep trying; you need not send it again.\n",
	}
)
