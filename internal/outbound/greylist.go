package outbound

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/queue"
)

// A host that greylists answers the first attempt of a stranger with a temporary
// failure and takes the next one, if it comes late enough (RFC 6647).
const (
	// greylistWait is how long such a host is given that does not say how long it
	// wants to wait: postgrey(8) waits for five minutes by default.
	greylistWait = 5*time.Minute + 10*time.Second
	// Nobody is believed who asks for less or more. RFC 6647 §5 has hosts accept
	// what comes again within a minute to a day.
	leastAsked, mostAsked = time.Minute, time.Hour
	// afterAsked keeps clocks that differ a little from costing a second failure.
	afterAsked = 5 * time.Second
)

// again is how long a host that did not take the message yet is to be left alone,
// 0 if it does not greylist: what it asked for, or, if it has not greylisted the attempt
// before this one, what such hosts usually want.
func again(code int, enhanced, text string, before bool) time.Duration {
	text = strings.ToLower(text)
	if !greylists(code, enhanced, text) {
		return 0
	}
	if d := asked(text); d > 0 && saysGreylist(text) {
		return min(max(d+afterAsked, leastAsked), mostAsked)
	}
	if before {
		return 0
	}
	return greylistWait
}

// greylisted tells whether a recipient's last attempt met a host that greylists: one that
// was down, or put it off for another reason, has not seen the message yet.
func greylisted(r *queue.Recipient) bool {
	return !r.Ours && greylists(r.Code, r.Enhanced, strings.ToLower(r.Reply))
}

// metFrom is the address of ours from which a message was greylisted when it was tried last:
// from another one it would be a stranger again.
func (w *worker) metFrom(t *transaction) netip.Addr {
	i := slices.IndexFunc(t.pending, func(r queue.Recipient) bool { return greylisted(&r) })
	if i < 0 || w.group == "" || w.o.o.LastSource == nil {
		return netip.Addr{}
	}
	from, err := w.o.o.LastSource(w.ctx, t.m.ID, t.pending[i].Address)
	if err != nil {
		w.o.o.Logger.Warn("it cannot be told from which address a message was greylisted; it may go from another one", "message", t.m.ID.String(), "error", err)
	}
	return from
}

// knows tells whether a host that greylists has seen the message for a recipient before: of
// an attempt from another address than the last one it has not.
func (w *worker) knows(r *queue.Recipient, from netip.Addr) bool {
	return greylisted(r) && (!w.met.IsValid() || !from.IsValid() || from == w.met)
}

// greylists tells whether a reply, in lower case, is that of a host that greylists.
func greylists(code int, enhanced, text string) bool {
	if code/100 != 4 {
		return false
	}
	// Some do not want it to be seen, Plesk among them.
	return saysGreylist(text) || (code == 450 || code == 451) && enhanced == "4.7.1" && strings.Contains(text, "try again later")
}

func saysGreylist(text string) bool {
	return strings.Contains(text, "greylist") || strings.Contains(text, "graylist")
}

// asked reads how long a host wants to wait, in lower case: "in 00:05:00", "for 5
// minutes", "after 30s"; 0 if its words do not tell.
func asked(text string) time.Duration {
	words := strings.Fields(text)
	for i := range words {
		switch words[i] {
		case "in", "for", "after", "wait", "another":
			if d := span(words[i+1:]); d > 0 {
				return d
			}
		}
	}
	return 0
}

// span reads a length of time from the first words.
func span(words []string) time.Duration {
	if len(words) == 0 {
		return 0
	}
	first := strings.TrimRight(words[0], ".,;)")
	if clock := strings.Split(first, ":"); len(clock) == 3 {
		return part(clock[0], time.Hour) + part(clock[1], time.Minute) + part(clock[2], time.Second)
	}
	number := strings.TrimRight(first, "abcdefghijklmnopqrstuvwxyz")
	unit := first[len(number):]
	if unit == "" && len(words) > 1 {
		unit = strings.TrimRight(words[1], ".,;)")
	}
	switch unit {
	case "s", "sec", "secs", "second", "seconds":
		return part(number, time.Second)
	case "m", "min", "mins", "minute", "minutes":
		return part(number, time.Minute)
	case "h", "hour", "hours":
		return part(number, time.Hour)
	}
	return 0
}

// part is a number of units, 0 if it is none or one that nobody means.
func part(number string, unit time.Duration) time.Duration {
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * unit
}
