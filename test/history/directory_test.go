package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

// The names that people and domains have. Their order depends on who sorts:
// octets are what counts.
func userNames() []string { return []string{"ann", "Zed", "bob", "Dörte"} }

func ourDomains() []string { return []string{"a-b.test", "aa.test", "例え.test", "home.test"} }

func farDomains() []string { return []string{"far1.test", "far2.test", "far3.test"} }

const password = "a good horse"

// domainName draws one of our domains, sometimes in capitals.
func (g *generator) domainName() string {
	name := pick(g.r, ourDomains())
	if g.r.IntN(5) == 0 {
		name = strings.ToUpper(name)
	}
	return name
}

// localName draws who somebody may be: an account, a tagged one, nobody.
func (g *generator) localName() string {
	name := pick(g.r, userNames())
	switch g.r.IntN(8) {
	case 0:
		name = strings.ToUpper(name)
	case 1:
		name += "+tag"
	case 2:
		name = "group"
	case 3:
		name = pick(g.r, []string{"nobody", "postmaster", "PostMaster", "list"})
	}
	return name
}

// ourAddress draws an address of a domain that is or could be ours.
func (g *generator) ourAddress() string {
	if len(g.m.accounts) > 0 && g.r.IntN(2) == 0 {
		return pick(g.r, g.m.accounts).address.String()
	}
	return g.localName() + "@" + g.domainName()
}

func (g *generator) addDomain() operation {
	name := g.domainName()
	if g.r.IntN(20) == 0 {
		name = "[192.0.2.1]"
	}
	d, err := mail.ParseDomain(name)
	return operation{
		words: "add the domain " + name,
		model: func() string {
			_, literal := d.Literal()
			switch {
			case err != nil || literal:
				return "bad domain"
			case g.m.domains[d.ASCII]:
				return "exists"
			}
			g.m.domains[d.ASCII] = true
			return ok
		},
		world: func(w *world) string { return kind(w.p.directory.AddDomain(w.ctx, d)) },
	}
}

func (g *generator) removeDomain() operation {
	name := g.domainName()
	d, _ := mail.ParseDomain(name)
	return operation{
		words: "remove the domain " + name,
		model: func() string {
			for _, a := range g.m.accounts {
				if a.address.Domain == d {
					return "in use"
				}
			}
			for _, a := range g.m.aliases {
				if a.domain == d.ASCII {
					return "in use"
				}
			}
			if !g.m.domains[d.ASCII] {
				return "no domain"
			}
			delete(g.m.domains, d.ASCII)
			return ok
		},
		world: func(w *world) string { return kind(w.p.directory.RemoveDomain(w.ctx, d)) },
	}
}

func (g *generator) addAccount() operation {
	domain := g.domainName()
	if ours := sortedKeys(g.m.domains); len(ours) > 0 && g.r.IntN(4) > 0 {
		domain = pick(g.r, ours) // a password costs much even where it leads to nothing
	}
	to := pick(g.r, userNames()) + "@" + domain
	pass := password
	switch g.r.IntN(12) {
	case 0:
		pass = "short"
	case 1:
		to = "a*b@" + domain
	}
	a := address(to)
	number := 0
	return operation{
		words: "add the account " + to,
		model: func() string {
			switch {
			case len(pass) < 8:
				return "bad password"
			case strings.Contains(a.Local, "*"):
				return "bad address"
			case !g.m.domains[a.Domain.ASCII]:
				return "no domain"
			case g.m.aliases[a.Key()] != nil, g.m.owner(a.Key()) != nil:
				return "exists"
			}
			number = g.m.newAccount(a)
			return fmt.Sprintf("a%d", number)
		},
		world: func(w *world) string {
			made, err := w.p.directory.AddAccount(w.ctx, a, pass)
			if err != nil {
				return kind(err)
			}
			if err := w.accounts.bind(number, made.ID); err != nil {
				return err.Error()
			}
			return fmt.Sprintf("a%d", number)
		},
	}
}

func (m *model) newAccount(address mail.Address) int {
	m.accountsMade++
	a := &acct{number: m.accountsMade, address: address, boxes: map[string]*box{}, subs: map[string]bool{}}
	step := m.tick()
	for _, f := range firstBoxes() {
		m.newBox(a, f.name, f.role, step)
		a.subs[f.name] = true
	}
	m.accounts = append(m.accounts, a)
	return a.number
}

func (g *generator) removeAccount() operation {
	to := g.ourAddress()
	a := address(to)
	return operation{
		words: "remove the account " + to,
		model: func() string {
			gone := g.m.owner(a.Key())
			if gone == nil {
				return "no account"
			}
			g.m.accounts = slices.DeleteFunc(g.m.accounts, func(a *acct) bool { return a == gone })
			_, n := gone.used()
			g.m.unreaped += n
			gone.erased = true
			for _, b := range gone.boxes {
				b.gone = true
			}
			return ok
		},
		world: func(w *world) string { return kind(w.p.directory.RemoveAccount(w.ctx, a)) },
	}
}

func (g *generator) setQuota() operation {
	to := g.ourAddress()
	a := address(to)
	octets := pick(g.r, []int64{0, 0, 3000, 10000, 30000})
	return operation{
		words: fmt.Sprintf("set the quota of %s to %d", to, octets),
		model: func() string {
			acc := g.m.owner(a.Key())
			if acc == nil {
				return "no account"
			}
			acc.quota = octets
			return ok
		},
		world: func(w *world) string { return kind(w.p.directory.SetQuota(w.ctx, a, octets)) },
	}
}

// aliasName draws what may become an alias.
func (g *generator) aliasName() string {
	switch g.r.IntN(12) {
	case 0, 1:
		return "*@" + g.domainName()
	case 2:
		return pick(g.r, []string{"no address", "x@bad..test", "two words@aa.test"})
	case 3:
		return g.ourAddress()
	}
	return g.localName() + "@" + g.domainName()
}

// aliasKey is under which an alias is kept; false for what is no address.
func aliasKey(name string) (key, domain string, ok bool) {
	if rest, all := strings.CutPrefix(name, "*@"); all {
		d, err := mail.ParseDomain(rest)
		return "*@" + d.ASCII, d.ASCII, err == nil
	}
	a, err := mail.ParseAddress(name)
	return a.Key(), a.Domain.ASCII, err == nil
}

func (g *generator) setAlias() operation {
	name := g.aliasName()
	var targets []string
	for range 1 + g.r.IntN(4) {
		switch g.r.IntN(4) {
		case 0:
			targets = append(targets, fmt.Sprintf("d%d@%s", g.r.IntN(5), pick(g.r, farDomains())))
		default:
			targets = append(targets, g.ourAddress())
		}
	}
	switch g.r.IntN(20) {
	case 0:
		targets = nil
	case 1:
		targets = append(targets, "no target")
	}
	return operation{
		words: fmt.Sprintf("let %s lead to %s", name, strings.Join(targets, " and ")),
		model: func() string { return g.m.setAlias(name, targets) },
		world: func(w *world) string { return kind(w.p.directory.SetAlias(w.ctx, name, targets)) },
	}
}

func (m *model) setAlias(name string, targets []string) string {
	key, domain, fine := aliasKey(name)
	if !fine {
		return badAddress(name)
	}
	if len(targets) == 0 {
		return "error"
	}
	a := &alias{domain: domain}
	for _, t := range targets {
		to, err := mail.ParseAddress(t)
		if err != nil {
			return badAddress(t)
		}
		a.targets = append(a.targets, to.String())
	}
	slices.Sort(a.targets)
	a.targets = slices.Compact(a.targets)
	switch {
	case !m.domains[domain]:
		return "no domain"
	case m.owner(key) != nil:
		return "exists"
	}
	m.aliases[key] = a
	return ok
}

func badAddress(text string) string {
	if strings.Contains(text, "..") {
		return "bad domain"
	}
	return "bad address"
}

func (g *generator) removeAlias() operation {
	name := g.aliasName()
	if keys := sortedKeys(g.m.aliases); len(keys) > 0 && g.r.IntN(2) == 0 {
		name = pick(g.r, keys)
	}
	return operation{
		words: "remove the alias " + name,
		model: func() string {
			key, _, fine := aliasKey(name)
			switch {
			case !fine:
				return badAddress(name)
			case g.m.aliases[key] == nil:
				return "no alias"
			}
			delete(g.m.aliases, key)
			return ok
		},
		world: func(w *world) string { return kind(w.p.directory.RemoveAlias(w.ctx, name)) },
	}
}

func (g *generator) resolve() operation {
	to := g.ourAddress()
	switch g.r.IntN(12) {
	case 0:
		to = "d1@" + pick(g.r, farDomains())
	case 1:
		if keys := sortedKeys(g.m.aliases); len(keys) > 0 {
			to = pick(g.r, keys)
		}
	}
	to = strings.Replace(to, "*@", "anybody@", 1)
	a := address(to)
	return operation{
		words: "resolve " + to,
		model: func() string { return g.m.resolve(a).String() },
		world: func(w *world) string {
			t, err := w.p.directory.Resolve(w.ctx, a)
			if err != nil {
				return kind(err)
			}
			return w.target(t)
		},
	}
}

func (w *world) target(t account.Target) string {
	parts := []string{map[account.Kind]string{account.Elsewhere: "elsewhere", account.Unknown: "unknown", account.Here: "here"}[t.Kind]}
	for _, a := range t.Accounts {
		parts = append(parts, fmt.Sprintf("a%d", w.accounts.number(a.ID)))
	}
	for _, f := range t.Forwards {
		parts = append(parts, f.String())
	}
	return strings.Join(parts, " ")
}

// target is where an address leads.
type target struct {
	kind     account.Kind
	nobody   bool
	accounts []*acct // in the order they were made
	forwards []string
	nowhere  []mail.Address // each in the first of its spellings
}

func (t target) String() string {
	if t.nobody {
		return "nobody"
	}
	parts := []string{map[account.Kind]string{account.Elsewhere: "elsewhere", account.Unknown: "unknown", account.Here: "here"}[t.kind]}
	for _, a := range t.accounts {
		parts = append(parts, fmt.Sprintf("a%d", a.number))
	}
	return strings.Join(append(parts, t.forwards...), " ")
}

// resolve follows an address to everyone it leads to.
func (m *model) resolve(a mail.Address) target {
	if !m.domains[a.Domain.ASCII] {
		return target{kind: account.Elsewhere}
	}
	t := target{kind: account.Unknown}
	m.follow(a, &t, map[string]bool{})
	if strings.EqualFold(a.Local, "postmaster") && t.kind != account.Here {
		m.postmaster(a.Domain, &t)
		t.nowhere = nil // somebody looks after it
		t.nobody = t.kind != account.Here
	}
	slices.SortFunc(t.accounts, func(a, b *acct) int { return a.number - b.number })
	slices.Sort(t.forwards)
	slices.SortFunc(t.nowhere, func(a, b mail.Address) int { return strings.Compare(a.String(), b.String()) })
	return t
}

func (t *target) add(a *acct) {
	t.kind = account.Here
	if !slices.Contains(t.accounts, a) {
		t.accounts = append(t.accounts, a)
	}
}

func (m *model) follow(a mail.Address, t *target, seen map[string]bool) {
	if seen[a.Key()] {
		for i, lost := range t.nowhere {
			if lost.Key() == a.Key() && a.String() < lost.String() {
				t.nowhere[i] = a
			}
		}
		return
	}
	seen[a.Key()] = true
	keys := []string{a.Key()}
	if base, tagged := a.WithoutTag(); tagged {
		keys = append(keys, base.Key())
	}
	post := strings.EqualFold(a.Local, "postmaster")
	if !post {
		keys = append(keys, "*@"+a.Domain.ASCII)
	}
	for _, key := range keys {
		if own := m.owner(key); own != nil {
			t.add(own)
			return
		}
		if al := m.aliases[key]; al != nil {
			for _, to := range al.targets {
				m.lead(address(to), t, seen)
			}
			return
		}
	}
	if post {
		m.postmaster(a.Domain, t)
		return
	}
	t.nowhere = append(t.nowhere, a)
}

func (m *model) lead(a mail.Address, t *target, seen map[string]bool) {
	if m.domains[a.Domain.ASCII] {
		m.follow(a, t, seen)
		return
	}
	t.kind = account.Here
	if text := a.String(); !slices.Contains(t.forwards, text) {
		t.forwards = append(t.forwards, text)
	}
}

// postmaster is the first account of a domain, else the first of all.
func (m *model) postmaster(d mail.Domain, t *target) {
	for _, a := range m.accounts {
		if a.address.Domain == d {
			t.add(a)
			return
		}
	}
	if len(m.accounts) > 0 {
		t.add(m.accounts[0])
	}
}

// directoryPicture is all that the directory lists.
func (m *model) directoryPicture() []string {
	var lines []string
	for _, name := range sortedKeys(m.domains) {
		accounts, aliases := 0, 0
		for _, a := range m.accounts {
			if a.address.Domain.ASCII == name {
				accounts++
			}
		}
		for _, a := range m.aliases {
			if a.domain == name {
				aliases++
			}
		}
		lines = append(lines, fmt.Sprintf("domain %s %d %d", name, accounts, aliases))
	}
	sorted := slices.Clone(m.accounts)
	slices.SortFunc(sorted, func(a, b *acct) int {
		return strings.Compare(a.address.Domain.ASCII+"\x00"+a.address.Local, b.address.Domain.ASCII+"\x00"+b.address.Local)
	})
	for _, a := range sorted {
		lines = append(lines, fmt.Sprintf("account a%d %s %d", a.number, a.address, a.quota))
	}
	for _, key := range sortedKeys(m.aliases) {
		lines = append(lines, fmt.Sprintf("alias %s %v", key, m.aliases[key].targets))
	}
	return lines
}

func (w *world) directoryPicture() ([]string, error) {
	domains, err := w.p.directory.Domains(w.ctx)
	accounts, err1 := w.p.directory.Accounts(w.ctx)
	aliases, err2 := w.p.directory.Aliases(w.ctx)
	var lines []string
	for _, d := range domains {
		lines = append(lines, fmt.Sprintf("domain %s %d %d", d.Name, d.Accounts, d.Aliases))
	}
	for _, a := range accounts {
		lines = append(lines, fmt.Sprintf("account a%d %s %d", w.accounts.number(a.ID), a.Address, w.p.directory.Quota(a)))
	}
	for _, a := range aliases {
		lines = append(lines, fmt.Sprintf("alias %s %v", a.Address, a.Targets))
	}
	return lines, errors.Join(err, err1, err2)
}
