package account

import (
	"sync"

	"github.com/hayauma/hayauma/internal/mail"
)

// The bounds of what a Directory remembers. Whoever may write to us chooses the
// names, so they are counted apart and hold no copy of where they lead.
const (
	maxLeads   = 20000 // accounts and forwards of all answers together
	maxNames   = 10000
	maxDomains = 10000
	maxLogins  = 20000
)

// maxList is of how many domains of ours all are remembered, so that any other name is
// known to be a stranger's. Of more than that each is asked for when it is met.
const maxList = 1000

// What is known of the list of our domains.
const (
	unread = iota
	whole  // answers.domains has all, and none but ours
	long   // more than maxList
)

// answer is where a key leads. It is shared and never changes.
type answer struct {
	target  Target
	err     error        // ErrNobody or ErrExpansion
	asked   bool         // whether it holds only for setting
	setting mail.Address // of the postmaster
}

func (a *answer) weight() int {
	return 1 + len(a.target.Accounts) + len(a.target.Forwards) + len(a.target.Nowhere)
}

// answers remembers where addresses lead until the next change.
type answers struct {
	mu      sync.Mutex
	version uint64             // counts the changes, so that a slow reader leaves nothing stale
	found   map[string]*answer // by the key of an account, an alias, a catch-all or a postmaster
	leads   int                // sum of the weights in found
	names   map[string]*answer // by the key of an address found elsewhere: tagged, caught or nowhere
	domains map[string]standing
	list    int // unread, whole or long
	logins  map[stood]struct{}
	costs   *costs // nil = unread
}

// costs are how many accounts SCRAM tells mainIterations of, and how many others have app
// passwords alone.
type costs struct{ main, app uint64 }

// clear forgets everything: something changed.
func (c *answers) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	c.domains, c.list, c.logins, c.costs = map[string]standing{}, unread, map[stood]struct{}{}, nil
	c.forget()
}

// forget lets go of all addresses. c.mu is held.
func (c *answers) forget() {
	c.found, c.names, c.leads = map[string]*answer{}, map[string]*answer{}, 0
}

// lookup returns what is known of a key, nil = nothing, and the version to give
// to keep.
func (c *answers) lookup(key string) (*answer, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.found[key]
	if a == nil {
		a = c.names[key]
	}
	return a, c.version
}

// at is lookup for what an account or an alias of just this key leads to; nil
// if something changed since version.
func (c *answers) at(key string, version uint64) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return nil
	}
	return c.found[key]
}

// keep remembers that key was found under another key, or nowhere if that is
// empty, unless something changed since version.
func (c *answers) keep(version uint64, key, found string, a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return
	}
	if found != "" && c.found[found] != a {
		if old := c.found[found]; old != nil {
			c.leads -= old.weight()
		}
		if c.leads+a.weight() > maxLeads {
			c.forget()
		}
		c.found[found] = a
		c.leads += a.weight()
	}
	if key != found {
		if len(c.names) >= maxNames {
			clear(c.names)
		}
		c.names[key] = a
	}
}

// stands tells whether a login is known to count, and the version to give to keepLogin.
func (c *answers) stands(l stood) (known bool, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known = c.logins[l]
	return known, c.version
}

// keepLogin remembers that a login counts, unless something changed since version.
func (c *answers) keepLogin(version uint64, l stood) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version != version {
		return
	}
	if len(c.logins) >= maxLogins {
		clear(c.logins)
	}
	c.logins[l] = struct{}{}
}

// scramCosts returns what is known, nil = nothing, and the version to give to keepCosts.
func (c *answers) scramCosts() (*costs, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.costs, c.version
}

// keepCosts remembers them, unless something changed since version.
func (c *answers) keepCosts(version uint64, read *costs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version == version {
		c.costs = read
	}
}
