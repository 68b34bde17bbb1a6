package rate

import (
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// fullFault says that a limit is reached, and when there will be room.
func fullFault(k Kind, r Rule, limit, seconds int64) *mail.Fault {
	did := didTable[r.Measure]
	advice := "or ask your postmaster for a higher limit"
	if r.Measure == NewRecipients {
		advice = "write to those it knows, " + advice
	}
	return mail.Temporary(mail.NotAuthorized, fmt.Sprintf("%s has %s %d %s within %s, which is its limit: try again in about %s, %s",
		whoTable[k], did.before, limit, did.after, spanTable[r.Span].words, mail.About(time.Duration(seconds)*time.Second), advice))
}

// crowdedFault says that what is being accepted may fill a limit.
func crowdedFault(k Kind, r Rule, limit int64) *mail.Fault {
	return mail.Temporary(mail.NotAuthorized, fmt.Sprintf("%s has other messages under way that may fill its limit of %d %s within %s: try again in a minute",
		whoTable[k], limit, didTable[r.Measure].after, spanTable[r.Span].words))
}

// heldFault says that somebody has to look at the account first.
func heldFault() *mail.Fault {
	return mail.Temporary(mail.NotAuthorized,
		"This account was stopped because it sent far more than usual and much of it was refused: ask your postmaster to look at it and release it")
}
