package rule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
)

// Question is a message that somebody thinks up, to see what the rules would
// say. What is left out, or <>, is not there: no login, the null sender.
type Question struct {
	IP          string   `json:"ip"`
	Door        string   `json:"door"`
	Helo        string   `json:"helo,omitempty"`
	Reverse     string   `json:"reverse,omitempty"`
	Certificate []string `json:"certificate,omitempty"` // fingerprint, common name, or both
	Login       string   `json:"login,omitempty"`
	From        string   `json:"from,omitempty"`
	To          string   `json:"to,omitempty"` // empty = only MAIL is judged
}

// Step is what one rule says.
type Step struct {
	Position int    `json:"position"`
	Rule     string `json:"rule"`
	Action   Action `json:"action"`
	Matches  string `json:"matches"` // yes, no, off, waits, not reached
	Why      string `json:"why,omitempty"`
}

// Trial is the answer to a Question: each rule, and the decision.
type Trial struct {
	Steps  []Step   `json:"rules"`
	Action Action   `json:"action"` // empty = no rule decides
	Rule   string   `json:"rule,omitempty"`
	At     string   `json:"at"`              // MAIL or RCPT: when the decision falls
	Reply  string   `json:"reply,omitempty"` // of Reject and Defer
	Tags   []string `json:"tags,omitempty"`
	Delay  int      `json:"delay,omitempty"` // of all replies together, in seconds
}

// Facts reads a question. The recipient is nil if there is none.
func (q Question) Facts() (f Facts, recipient *mail.Address, err error) {
	if f.Peer, err = netip.ParseAddr(q.IP); err != nil {
		return f, nil, fmt.Errorf("--ip %q: write an address like 192.0.2.1", q.IP)
	}
	if f.Door, err = ParseDoor(q.Door); err != nil {
		return f, nil, fmt.Errorf("--door %q: %w", q.Door, err)
	}
	f.Helo = readName(q.Helo)
	f.Reverse = func(context.Context) (string, error) { return readName(q.Reverse), nil }
	if f.Certificate, err = shownCertificate(q.Certificate); err != nil {
		return f, nil, err
	}
	if f.Login, err = readAddress("login", q.Login); err != nil {
		return f, nil, err
	}
	if f.Sender, err = readAddress("from", q.From); err != nil || q.To == "" {
		return f, nil, err
	}
	to, err := readAddress("to", q.To)
	if err == nil && to.IsNull() {
		err = errors.New("--to <>: a message needs a recipient; leave --to out to judge MAIL alone")
	}
	return f, &to, err
}

// readName takes a name, or none.
func readName(text string) string {
	if text == none {
		return ""
	}
	return text
}

// shownCertificate is a certificate of which the fingerprint, the name or both are said.
func shownCertificate(values []string) (out Certificate, err error) {
	for _, value := range values {
		var c Certificate
		if readName(value) != "" {
			c, err = readCertificate(value)
		}
		switch {
		case err != nil:
			return out, fmt.Errorf("--certificate %q: %w", value, err)
		case c.Fingerprint != "" && out.Fingerprint != "" || c.Name != "" && out.Name != "":
			return out, fmt.Errorf("--certificate %q: a certificate has one fingerprint and one common name", value)
		case c.Fingerprint != "":
			out.Fingerprint = c.Fingerprint
		default:
			out.Name = cmp.Or(c.Name, out.Name)
		}
	}
	return out, nil
}

// readAddress takes an address, a bare local part such as postmaster, or the
// null address.
func readAddress(flag, text string) (mail.Address, error) {
	if text == "" || text == none {
		return mail.Address{}, nil
	}
	if !strings.Contains(text, "@") {
		local, err := mail.ParseLocal(text)
		if err == nil {
			return mail.Address{Local: local}, nil
		}
	}
	a, err := mail.ParseAddress(text)
	if err != nil {
		return a, fmt.Errorf("--%s %q: %w; write it like user@example.org", flag, text, err)
	}
	return a, nil
}

// Try tells what each rule says to a question, and what all of them decide.
func (s *Store) Try(ctx context.Context, q Question) (Trial, error) {
	facts, recipient, err := q.Facts()
	if err != nil {
		return Trial{}, err
	}
	rules, err := s.rules(ctx)
	if err != nil {
		return Trial{}, err
	}
	c := s.newCase(rules, facts)
	d, err := c.Mail(ctx)
	t := Trial{At: "MAIL", Delay: int(d.Delay.Seconds())}
	if err == nil && recipient != nil && d.Fault() == nil {
		if d.Action == "" {
			t.At = "RCPT"
		}
		d, err = c.Rcpt(ctx, *recipient)
		t.Delay += int(d.Delay.Seconds())
	}
	if err != nil {
		return Trial{}, err
	}
	t.Action, t.Rule, t.Tags = d.Action, d.Rule, d.Tags
	if f := d.Fault(); f != nil {
		t.Reply = f.Error()
	}
	t.Steps = c.steps(ctx)
	return t, nil
}

// steps tells what each rule says to what was judged last.
func (c *Case) steps(ctx context.Context) []Step {
	steps, reached := []Step{}, true
	for _, r := range c.rules {
		step := Step{Position: r.Position, Rule: r.Name, Action: r.Action}
		v, failed, err := r.judge(ctx, c.seen)
		switch {
		case r.Off:
			step.Matches = "off"
		case !reached:
			step.Matches = "not reached"
		case err != nil:
			step.Matches, step.Why = "no", err.Error()
		case v == fails:
			step.Matches, step.Why = "no", failed.whyNot(c.seen)
		case v == waits:
			step.Matches, step.Why = "waits", "the recipient decides, at RCPT"
		default:
			step.Matches, step.Why = "yes", r.why(c.seen)
		}
		if step.Matches == "yes" || step.Matches == "waits" {
			reached = !r.Action.decides()
		}
		steps = append(steps, step)
	}
	return steps
}

// why tells what made a rule match: "network 192.0.2.1 matches 192.0.2.0/24".
func (r *compiled) why(s *seen) string {
	var parts []string
	for i := range r.conditions {
		c := &r.conditions[i]
		if n := c.matching(s); n >= 0 {
			parts = append(parts, c.said(s)+" matches "+c.values[n])
		}
	}
	return strings.Join(parts, ", ")
}

// valuesShown is how many values of a condition are told.
const valuesShown = 3

// whyNot tells why a condition does not hold.
func (c *condition) whyNot(s *seen) string {
	if len(c.values) == 1 {
		return c.said(s) + " does not match " + c.values[0]
	}
	shown := slices.Clone(c.values[:min(len(c.values), valuesShown)])
	if more := len(c.values) - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("%d more", more))
	}
	return c.said(s) + " matches none of " + strings.Join(shown, ", ")
}

// said is the name of a condition with the fact.
func (c *condition) said(s *seen) string {
	if fact := c.fact(s); fact != "" {
		return c.Name + " " + fact
	}
	return c.Name + " " + none
}
