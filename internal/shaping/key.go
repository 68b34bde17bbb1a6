package shaping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/queue/retry"
)

// Key names a limit.
type Key string

// The limits that a provider may have.
const (
	Connections Key = "connections"             // at once
	Messages    Key = "messages_per_connection" // then a new one is made
	Recipients  Key = "recipients"              // in one transaction
	Rate        Key = "rate"                    // messages in a time, as 600/min
	TLS         Key = "tls"                     // rule; also for a domain of recipients
	Retry       Key = "retry"                   // waits between attempts, as 5m 1h; the last repeats
)

// Keys are all of them, in the order in which people are shown them.
func Keys() []Key { return []Key{Connections, Messages, Recipients, Rate, Retry, TLS} }

// largest bounds every number.
const largest = 1_000_000

// mostRecipients is what a transaction never has more of, whatever a server says that it takes.
const mostRecipients = 100

func (k Key) number(value string) (int, error) {
	most, why := largest, ""
	if k == Recipients {
		most, why = mostRecipients, "; no server has to take more in one transaction (RFC 5321 §4.5.3.1.8)"
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s = %q: write a number from 1 to %d%s", k, value, most, why)
	}
	return n, nil
}

// known refuses what is no limit.
func (k Key) known() error {
	if !slices.Contains(Keys(), k) {
		return fmt.Errorf("there is no limit %q: use connections, messages_per_connection, recipients, rate, retry or tls", string(k))
	}
	return nil
}

func (k Key) check(value string) error {
	err := k.known()
	if err != nil {
		return err
	}
	switch k {
	case Rate:
		_, _, err = parseRate(value)
	case Retry:
		_, err = retry.ParseWaits(value)
	case TLS:
		_, _, err = parseTLS(value)
	default:
		_, err = k.number(value)
	}
	return err
}

// parseRate reads messages in a time: 5/s, 600/min, 1000/h, 20000/day.
func parseRate(s string) (messages int, per time.Duration, err error) {
	number, unit, _ := strings.Cut(s, "/")
	switch unit {
	case "s":
		per = time.Second
	case "min":
		per = time.Minute
	case "h":
		per = time.Hour
	case "day":
		per = 24 * time.Hour
	}
	messages, err = strconv.Atoi(number)
	if err != nil || messages < 1 || messages > largest || per == 0 {
		return 0, 0, fmt.Errorf("rate = %q: write messages in a time, as 5/s, 600/min, 1000/h or 20000/day", s)
	}
	return messages, per, nil
}

// DespitePolicy stands behind a TLS rule that holds even where a policy of the domain
// asks for more.
const DespitePolicy = "despite-policy"

// parseTLS reads a TLS rule: none, opportunistic, required or verified; of the first
// two also with despite-policy behind it.
func parseTLS(s string) (rule string, despite bool, err error) {
	rule, rest, more := strings.Cut(s, " ")
	weak := rule == "none" || rule == "opportunistic"
	switch {
	case !weak && rule != "required" && rule != "verified", more && rest != DespitePolicy:
		return "", false, fmt.Errorf("tls = %q: write none, opportunistic, required or verified", s)
	case more && !weak:
		return "", false, fmt.Errorf("tls = %q: only none and opportunistic can hold despite a policy", rule)
	}
	return rule, more, nil
}
