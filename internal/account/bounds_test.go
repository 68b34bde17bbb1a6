package account

import (
	"fmt"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
)

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	var c answers
	c.clear()
	check := func(what string) {
		t.Helper()
		leads := 0
		for _, a := range c.found {
			leads += a.weight()
		}
		if leads != c.leads || leads > maxLeads || len(c.names) > maxNames || len(c.domains) > maxDomains {
			t.Fatalf("%s: %d leads, counted %d, %d names, %d domains", what, leads, c.leads, len(c.names), len(c.domains))
		}
	}
	unknown := &answer{target: Target{Kind: Unknown}}
	group := &answer{target: Target{Kind: Here, Forwards: make([]mail.Address, 500)}}
	c.keep(c.version, "group@e.test", "group@e.test", group)
	for i := range 2 * maxNames {
		c.keep(c.version, fmt.Sprintf("group+%d@e.test", i), "group@e.test", group)
		c.keep(c.version, fmt.Sprintf("random%d@e.test", i), "", unknown)
		c.keepDomain(c.version, fmt.Sprintf("d%d.test", i), standing{})
	}
	check("names")
	if a, _ := c.lookup("group@e.test"); a != group || len(c.found) != 1 {
		t.Errorf("random names push out what is real: %d found", len(c.found))
	}
	for i := range 100 {
		key := fmt.Sprintf("group%d@e.test", i)
		c.keep(c.version, key, key, &answer{target: group.target})
		c.keep(c.version, key, key, &answer{target: Target{Accounts: make([]Account, i)}})
		check(key)
	}
	for i := range maxLeads {
		key := fmt.Sprintf("user%d@e.test", i)
		c.keep(c.version, key, key, &answer{target: Target{Kind: Here, Accounts: make([]Account, 1)}})
	}
	check("users")
}

func TestASlowReaderLeavesNothingStale(t *testing.T) {
	t.Parallel()
	var c answers
	c.clear()
	_, version := c.lookup("x@e.test")
	c.clear()
	c.keep(version, "x@e.test", "x@e.test", &answer{})
	c.keep(version, "y@e.test", "", &answer{})
	c.keepDomain(version, "e.test", standing{local: true})
	if len(c.found)+len(c.names)+len(c.domains)+c.leads != 0 {
		t.Errorf("%+v", &c)
	}
	now := &answer{}
	c.keep(c.version, "x@e.test", "x@e.test", now)
	if c.at("x@e.test", version) != nil || c.at("x@e.test", c.version) != now {
		t.Error("a reader of the past is told of the present")
	}
}
