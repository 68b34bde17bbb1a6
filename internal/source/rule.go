package source

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hayauma/hayauma/internal/mail"
)

// Kind is what a rule looks at.
type Kind string

// The kinds of rules. Where several lead somewhere the first of them counts.
const (
	Tag      Kind = "tag"
	Account  Kind = "account"
	Stream   Kind = "stream"
	Tenant   Kind = "tenant"
	Everyone Kind = "everyone"
)

// Rule says which pool some messages leave by.
type Rule struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name,omitempty"` // the tag, the stream, or the id of the account or tenant; empty for everyone
	Pool string `json:"pool"`
}

type subject struct {
	kind Kind
	name string
}

// poolOf is the pool of a sender's messages. Of several tags the first that a rule
// knows counts.
func (st *state) poolOf(from Sender) string {
	for _, tag := range from.Tags {
		if pool, ok := st.rules[subject{Tag, tag}]; ok {
			return pool
		}
	}
	for _, key := range []subject{{Account, id(from.Account)}, {Stream, from.Stream}, {Tenant, id(from.Tenant)}, {Everyone, ""}} {
		if pool, ok := st.rules[key]; ok {
			return pool
		}
	}
	return ""
}

func id(i mail.ID) string {
	if i == 0 {
		return "" // no rule has this name
	}
	return i.String()
}

// Kinds are all kinds of rules, the first that counts first.
func Kinds() []Kind { return []Kind{Tag, Account, Stream, Tenant, Everyone} }

func (r Rule) check() error {
	switch {
	case !slices.Contains(Kinds(), r.Kind):
		return fmt.Errorf("there are no rules for a %q: use a tag, an account, a stream, a tenant or everyone", string(r.Kind))
	case r.Kind == Everyone && r.Name != "":
		return errors.New("the rule for everyone has no name")
	case r.Kind != Everyone && (r.Name == "" || len(r.Name) > maxRuleName):
		return fmt.Errorf("say which %s, in up to %d octets", r.Kind, maxRuleName)
	}
	return nil
}

const maxRuleName = 256
