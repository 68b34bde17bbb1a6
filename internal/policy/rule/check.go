package rule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// compiled is a rule that can be asked.
type compiled struct {
	Rule
	conditions []condition
}

// condition is one kind of condition with its values.
type condition struct {
	Kind
	values   []string
	matchers []matcher
}

// Check tells what is wrong with a rule, in words of the command line.
func (r Rule) Check() error {
	_, err := compile(r)
	return err
}

func compile(r Rule) (*compiled, error) {
	if err := errors.Join(checkName(r.Name), r.checkAction()); err != nil {
		return nil, err
	}
	out := &compiled{Rule: r}
	for _, k := range Kinds() {
		c := condition{Kind: k, values: *k.Values(&r.Conditions)}
		if len(c.values) > maxValues {
			return nil, fmt.Errorf("--%s: it has %d values, and at most %d are possible: make two rules", k.Name, len(c.values), maxValues)
		}
		for _, value := range c.values {
			m, err := k.parse(value)
			if err != nil {
				return nil, fmt.Errorf("--%s %q: %w", k.Name, value, err)
			}
			c.matchers = append(c.matchers, m)
		}
		if len(c.values) > 0 {
			out.conditions = append(out.conditions, c)
		}
	}
	if len(out.conditions) == 0 {
		return nil, errors.New("the rule has no condition: say when it matches; --door smtp is all that other servers bring")
	}
	return out, nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// checkName is for names and tags.
func checkName(name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, notNamed) {
		return fmt.Errorf("%q is no name: use 1 to %d letters, digits, dots, - and _", name, maxName)
	}
	return nil
}

func notNamed(r rune) bool { return !strings.ContainsRune(nameLetters, r) }

// checkAction looks at the action and at what only some of them have.
func (r Rule) checkAction() error {
	if !slices.Contains(Actions(), r.Action) {
		return fmt.Errorf("--action %q: use %s", string(r.Action), actionNames())
	}
	switch {
	case r.Text != "" && r.Action != Reject && r.Action != Defer:
		return errors.New("--text is for the actions reject and defer: nobody would read it")
	case len(r.Text) > maxText || !printable(r.Text):
		return fmt.Errorf("--text: use one line of at most %d ASCII characters", maxText)
	case r.Action == Tag && r.Tag == "":
		return errors.New("the action tag needs the word: --tag WORD")
	case r.Action == Tag:
		if err := checkName(r.Tag); err != nil {
			return fmt.Errorf("--tag: %w", err)
		}
	case r.Tag != "":
		return errors.New("--tag is for the action tag")
	}
	switch {
	case r.Action == Tarpit && (r.Delay < 1 || r.Delay > maxDelay):
		return fmt.Errorf("the action tarpit needs --delay with 1s to %ds", maxDelay)
	case r.Action != Tarpit && r.Delay != 0:
		return errors.New("--delay is for the action tarpit")
	}
	return nil
}

func actionNames() string {
	var names []string
	for _, a := range Actions() {
		names = append(names, string(a))
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// verdict is whether a rule matches.
type verdict uint8

const (
	fails verdict = iota // a condition does not hold
	waits                // all but the recipient's hold, and there is none yet
	holds
)

// judge asks the conditions; failed is the one that does not hold. An error says
// that the reverse name could not be found out.
func (r *compiled) judge(ctx context.Context, s *seen) (v verdict, failed *condition, err error) {
	v = holds
	for i := range r.conditions {
		c := &r.conditions[i]
		switch {
		case c.recipient && s.recipient == nil:
			v = waits
			continue
		case c.lookUp && v == waits:
			continue
		case c.lookUp:
			if err := s.lookUp(ctx); err != nil {
				return fails, c, err
			}
		}
		if c.matching(s) < 0 {
			return fails, c, nil
		}
	}
	return v, nil, nil
}

// matching is the index of the first value that holds, -1 = none does.
func (c *condition) matching(s *seen) int {
	return slices.IndexFunc(c.matchers, func(m matcher) bool { return m(s) })
}

// perRecipient tells whether the recipient counts.
func (r *compiled) perRecipient() bool { return len(r.Conditions.Recipients) > 0 }
