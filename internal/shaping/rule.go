package shaping

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hayauma/hayauma/internal/config"
)

// Action is what follows from a reply.
type Action string

// What may follow.
const (
	Slow      Action = "slow"      // less goes to the provider for a time
	Pause     Action = "pause"     // nothing goes to it for a time
	Drop      Action = "drop"      // the connection ends
	Permanent Action = "permanent" // what would be tried again is refused
	Temporary Action = "temporary" // what would be refused is tried again
)

// Rule says what follows from replies of a provider that were no success. All that is
// given of Code, Enhanced and Text must fit.
type Rule struct {
	ID          int64  `json:"id,omitempty"` // 0 = it is shipped
	Provider    string `json:"provider"`     // or Everyone
	Code        int    `json:"code,omitempty"`
	Enhanced    string `json:"enhanced,omitempty"`
	Text        string `json:"text,omitempty"` // in lower case; part of the reply
	Times       int    `json:"times"`          // within an hour, before it counts
	Do          Action `json:"do,omitempty"`
	Wait        string `json:"wait,omitempty"`        // how long slow and pause hold
	Connections int    `json:"connections,omitempty"` // at once, of slow
	Rate        string `json:"rate,omitempty"`        // of slow
	From        string `json:"from,omitempty"`        // in words: who says so

	wait     time.Duration
	messages int
	per      time.Duration
}

// Bounds of the rules that are set.
const (
	longestWait = 30 * 24 * time.Hour

	maxRules = 1000
	maxText  = 200
	maxTimes = 10_000
)

// read takes a rule as it was written, and refuses one that says nothing, or too much.
func (r *Rule) read() error {
	r.Text = strings.ToLower(r.Text)
	return errors.Join(r.readReply(), r.readAction())
}

func (r *Rule) readReply() error {
	switch {
	case r.Code != 0 && (r.Code < 400 || r.Code > 599):
		return fmt.Errorf("code %d: replies that are no success have a code from 400 to 599", r.Code)
	case r.Enhanced != "" && !isEnhanced(r.Enhanced):
		return fmt.Errorf("enhanced %q: write a code like 4.7.1", r.Enhanced)
	case len(r.Text) > maxText || strings.ContainsFunc(r.Text, unicode.IsControl):
		return fmt.Errorf("text: write up to %d characters of one line", maxText)
	case r.Text == "" && r.Enhanced == "" && r.Code == 0:
		return errors.New("say which replies: a code, an enhanced code, a part of the text")
	case r.Text == "" && r.Enhanced == "" && (r.Do == Permanent || r.Do == Temporary):
		return errors.New("a code alone says too little of why a message was not taken: give an enhanced code or a part of the text as well")
	case r.Times < 1 || r.Times > maxTimes:
		return fmt.Errorf("times %d: write a number from 1 to %d", r.Times, maxTimes)
	}
	return nil
}

func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || parts[0] != "4" && parts[0] != "5" {
		return false
	}
	for _, p := range parts[1:] {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil || len(p) > 3 {
			return false
		}
	}
	return true
}

func (r *Rule) readAction() (err error) {
	less := r.Connections != 0 || r.Rate != ""
	switch r.Do {
	case Slow, Pause:
		if r.Do == Slow != less {
			return fmt.Errorf("%s: give slow connections, a rate or both, and pause none of them", r.Do)
		}
		if r.wait, err = config.ParseDuration(r.Wait); err != nil || r.wait < time.Second || r.wait > longestWait {
			return fmt.Errorf("%s for %q: write how long, from 1s to 30d", r.Do, r.Wait)
		}
	case Drop, Permanent, Temporary:
		if less || r.Wait != "" {
			return fmt.Errorf("%s is done at once: give it no time, no connections and no rate", r.Do)
		}
	default:
		return fmt.Errorf("there is no %q: use slow, pause, drop, permanent or temporary", string(r.Do))
	}
	if r.Connections != 0 {
		_, err = Connections.number(strconv.Itoa(r.Connections))
	}
	if r.Rate != "" && err == nil {
		r.messages, r.per, err = parseRate(r.Rate)
	}
	return err
}

// fits tells whether a rule is for a reply, whose text is in lower case.
func (r *Rule) fits(code int, enhanced, low string) bool {
	return (r.Code == 0 || r.Code == code) && (r.Enhanced == "" || r.Enhanced == enhanced) && strings.Contains(low, r.Text)
}

// String is a rule in a few words.
func (r *Rule) String() string {
	if r.ID == 0 {
		return fmt.Sprintf("it said %q (%s)", r.Text, r.From)
	}
	return fmt.Sprintf("reply rule %d (%s)", r.ID, r.From)
}

// match returns the rule that decides on a reply: the operator's for the provider, then
// those for everyone, then what is shipped; among equals the older. nil = there is none.
func (s *Store) match(provider string, code int, enhanced, text string) *Rule {
	low := strings.ReplaceAll(strings.ToLower(text), "\n", " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rules := range [][]Rule{s.rules[provider], s.rules[Everyone], s.replies[provider]} {
		for i := range rules {
			if rules[i].fits(code, enhanced, low) {
				return &rules[i] // they are replaced and never changed
			}
		}
	}
	return nil
}

// Ruling is what follows from a reply for its message and its connection.
type Ruling struct {
	Do   Action // Drop, Permanent, Temporary, or empty = nothing
	Rule int64  // its number
	Why  string // in words: which rule
}

// Said is a reply that was no success.
type Said struct {
	Code           int
	Enhanced, Text string
	Refused        bool // it is final as it stands
}

// Judge says what follows for a message from a provider's reply to it. A rule that would
// change nothing has no say, and is not counted.
func (s *Store) Judge(provider string, said Said) Ruling {
	r := s.match(provider, said.Code, said.Enhanced, said.Text)
	switch {
	case r == nil, r.Do == Slow, r.Do == Pause, r.Do == Permanent && said.Refused, r.Do == Temporary && !said.Refused:
		return Ruling{}
	case !s.often(provider, r):
		return Ruling{}
	}
	return Ruling{Do: r.Do, Rule: r.ID, Why: r.String()}
}

// Try says which rule would decide on a reply, and counts nothing; ok = there is one.
func (s *Store) Try(provider string, code int, enhanced, text string) (r Rule, ok bool, err error) {
	name, err := ProviderName(provider)
	if err != nil {
		return r, false, err
	}
	if found := s.match(name, code, enhanced, text); found != nil {
		return *found, true, nil
	}
	return r, false, nil
}
