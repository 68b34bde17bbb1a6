package rate

import (
	"fmt"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
)

// fullFault says that a limit is reached, and when there will be room. It does not say how
// much was sent: that may be more, where the limit was lowered since, or less, where the
// message itself has more recipients than there is room for.
func fullFault(k Kind, r Rule, limit, seconds int64) *mail.Fault {
	advice := "or ask your postmaster for a higher limit"
	if r.Measure == NewRecipients {
		advice = "write to those it knows, " + advice
	}
	return mail.Temporary(mail.NotAuthorized, fmt.Sprintf("%s has reached its limit of %s within %s: try again in about %s, %s",
		whoTable[k], r.Measure.count(limit), spanTable[r.Span].words, mail.About(time.Duration(seconds)*time.Second), advice))
}

// crowdedFault says that what is being accepted may fill a limit.
func crowdedFault(k Kind, r Rule, limit int64) *mail.Fault {
	return mail.Temporary(mail.NotAuthorized, fmt.Sprintf("%s has other messages under way that may fill its limit of %s within %s: try again in a minute",
		whoTable[k], r.Measure.count(limit), spanTable[r.Span].words))
}

// count says how many there are of what is counted.
func (m Measure) count(n int64) string {
	words := measureTable[m]
	if n == 1 {
		return "1 " + words.one
	}
	return fmt.Sprintf("%d %s", n, words.many)
}

// heldFault says that somebody has to look at the account first.
func heldFault() *mail.Fault {
	return mail.Temporary(mail.NotAuthorized,
		"This account was stopped because it sent far more than usual and much of it was refused: ask your postmaster to look at it and release it")
}
