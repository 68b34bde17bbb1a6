package account

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Kind tells where an address leads.
type Kind uint8

// The kinds of a Target.
const (
	Elsewhere Kind = iota // the domain is not ours
	Unknown               // the domain is ours, the address leads nowhere
	Here                  // it leads to somebody
	Onward                // the domain is a relay domain of ours, and takes the address elsewhere
)

// Target is where an address leads after all aliases.
type Target struct {
	Kind     Kind
	Accounts []Account      // by id, none twice
	Forwards []mail.Address // addresses elsewhere, none twice
	Nowhere  []mail.Address // of Here: addresses of ours on the way that lead to nobody
	Ask      bool           // only the next host knows whether the address is there
	// ReturnPath says that the address is not one of somebody, but the return path
	// of a message: this is where its sender is. Resolve never sets it.
	ReturnPath bool
}

// maxExpansion bounds how many addresses one alias may lead to in all, those on
// the way included.
const maxExpansion = 1000

// postmaster is mail's, as it stands in keys.
const postmaster = mail.Postmaster

// Resolve follows an address through tags, aliases, groups and catch-alls. The
// result may be shared: callers must not write to it. ErrNobody says that it is
// a postmaster whose mail nobody can read yet, ErrExpansion that there are too many;
// like all other errors they are temporary.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (Target, error) {
	a, err := d.ownPostmaster(ctx, a)
	if err != nil {
		return Target{}, err
	}
	key, bare := a.Key(), a.Domain.IsZero()
	if bare && key != postmaster {
		return Target{Kind: Unknown}, nil
	}
	if mail.IsPostmaster(a.Local) {
		// More than what is found under its key, which a tag may lead to as
		// well: kept under a key that no address has.
		key = postmaster + ":" + key
	}
	known, version := d.answers.lookup(key)
	if d.fresh(known) {
		return known.target, known.err
	}
	if !bare {
		if of, err := d.standing(ctx, a.Domain); err != nil || !of.ours() {
			return Target{}, err
		}
	}
	var found string
	var got *answer
	err = d.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		x := d.expand(tx)
		x.version = version
		found, got, err = x.start(a, key)
		return err
	})
	if err != nil {
		return Target{}, err
	}
	d.answers.keep(version, key, found, got)
	return got.target, got.err
}

// ownPostmaster turns the postmaster of this host into the bare one. An address
// literal is taken for ours: whoever asks us for its postmaster has reached us
// by it, or has nobody better to ask.
func (d *Directory) ownPostmaster(ctx context.Context, a mail.Address) (mail.Address, error) {
	if !mail.IsPostmaster(a.Local) || a.Domain.IsZero() {
		return a, nil
	}
	bare := mail.Address{Local: postmaster}
	if _, literal := a.Domain.Literal(); literal {
		return bare, nil
	}
	if d.o.Hostname == nil {
		return a, nil
	}
	if host, err := mail.ParseDomain(d.o.Hostname()); err != nil || host != a.Domain {
		return a, nil
	}
	if of, err := d.standing(ctx, a.Domain); err != nil || of.ours() {
		return a, err
	}
	return bare, nil
}

// StandsFor is the address of ours that a postmaster without a domain, or that of this
// host, has; any other stands for itself. Whether somebody reads it is not asked.
func (d *Directory) StandsFor(ctx context.Context, a mail.Address) (mail.Address, error) {
	own, err := d.ownPostmaster(ctx, a)
	if err != nil || !own.Domain.IsZero() || !mail.IsPostmaster(own.Local) {
		return own, err
	}
	err = d.o.DB.Read(ctx, func(tx *db.Tx) (err error) {
		own.Domain, err = d.expand(tx).firstDomain()
		return err
	})
	return own, err
}

// fresh tells whether an answer still holds: those that came from the setting
// of the postmaster hold as long as it does.
func (d *Directory) fresh(a *answer) bool {
	return a != nil && (!a.asked || a.setting == d.o.Postmaster())
}

// expansion is one walk from an address to everyone it leads to.
type expansion struct {
	d        *Directory
	tx       *db.Tx
	version  uint64
	kind     Kind
	seen     map[string]bool // keys already followed: cuts loops
	domains  map[string]standing
	accounts map[mail.ID]Account
	forwards map[mail.Address]bool
	nowhere  map[string]mail.Address // by key
	asked    bool                    // whether setting was needed
	setting  mail.Address            // of the postmaster
}

func (d *Directory) expand(tx *db.Tx) *expansion {
	return &expansion{
		d: d, tx: tx, seen: map[string]bool{}, domains: map[string]standing{},
		accounts: map[mail.ID]Account{}, forwards: map[mail.Address]bool{}, nowhere: map[string]mail.Address{},
	}
}

// start returns the key under which an address was found, "" = nowhere, and
// where it leads. The domain of a is ours, or there is none.
func (x *expansion) start(a mail.Address, key string) (found string, got *answer, err error) {
	x.kind = Unknown
	if a.Domain.IsZero() {
		// RFC 5321 §4.5.1: RCPT TO:<postmaster> stands without a domain.
		if a.Domain, err = x.firstDomain(); err != nil {
			return "", nil, err
		}
	}
	of, err := x.standing(a.Domain.ASCII)
	if err != nil {
		return "", nil, err
	}
	if of.relay != nil {
		return x.startRelay(a, key, *of.relay)
	}
	if mail.IsPostmaster(a.Local) {
		got, err = x.answer(x.startPostmaster(a))
		return key, got, err
	}
	if found, got, err = x.among(places(a)); got != nil || err != nil {
		return found, got, err
	}
	return "", &answer{target: Target{Kind: Unknown}}, nil
}

// among returns where the first of some keys leads that is one of an account or an
// alias, nil if none is.
func (x *expansion) among(keys []string) (found string, got *answer, err error) {
	for _, found = range keys {
		if known := x.d.answers.at(found, x.version); x.d.fresh(known) {
			return found, known, nil
		}
		x.seen[found] = true
		ok, err := x.at(found)
		if ok || err != nil {
			got, err = x.answer(err)
			return found, got, err
		}
	}
	return "", nil, nil
}

func (x *expansion) startPostmaster(a mail.Address) error {
	if !a.Domain.IsZero() {
		if err := x.follow(a); err != nil || x.kind == Here {
			return err
		}
	}
	// An alias that leads to nobody must not silence the domain.
	clear(x.nowhere)
	if err := x.postmaster(a.Domain); err != nil || x.kind == Here {
		return err
	}
	return ErrNobody
}

// answer makes what a walk found out. Its errors are facts that stay true until
// the next change; that of the store is none.
func (x *expansion) answer(err error) (*answer, error) {
	if err != nil && !errors.Is(err, ErrNobody) && !errors.Is(err, ErrExpansion) {
		return nil, err
	}
	a := &answer{err: err, asked: x.asked, setting: x.setting}
	if err == nil {
		a.target = x.target()
	}
	return a, nil
}

// names are the keys of an address itself: with its tag and without.
func names(a mail.Address) []string {
	keys := []string{a.Key()}
	if base, tagged := a.WithoutTag(); tagged {
		keys = append(keys, base.Key())
	}
	return keys
}

// places are the keys under which an address of ours is looked for, in order.
func places(a mail.Address) []string {
	keys := names(a)
	if mail.IsPostmaster(a.Local) {
		return keys
	}
	return append(keys, catchAll(a.Domain))
}

// follow adds everyone an address of ours leads to.
func (x *expansion) follow(a mail.Address) error {
	key := a.Key()
	if _, lost := x.nowhere[key]; lost {
		x.lose(key, a)
	}
	if x.seen[key] {
		return nil
	}
	x.seen[key] = true
	if x.size() > maxExpansion {
		return ErrExpansion
	}
	for _, place := range places(a) {
		if found, err := x.at(place); err != nil || found {
			return err
		}
	}
	if mail.IsPostmaster(a.Local) {
		return x.postmaster(a.Domain)
	}
	x.lose(key, a)
	return nil
}

// lose notes an address that leads to nobody, in the first of its spellings: which of them
// the walk meets first depends on where it began.
func (x *expansion) lose(key string, a mail.Address) {
	if b, lost := x.nowhere[key]; !lost || a.String() < b.String() {
		x.nowhere[key] = a
	}
}

func (x *expansion) size() int { return len(x.seen) + len(x.forwards) }

func catchAll(d mail.Domain) string { return "*@" + d.ASCII }

// at adds whom the account or the alias of just this key leads to.
func (x *expansion) at(key string) (found bool, err error) {
	acc, ok, err := oneAccount(x.tx, sqlByKey, key)
	if err != nil {
		return false, err
	}
	if ok {
		x.add(acc)
		return true, nil
	}
	return x.alias(key)
}

func (x *expansion) add(a Account) {
	x.kind = Here
	x.accounts[a.ID] = a
}

var sqlTargets = db.SQL("SELECT target FROM alias WHERE key = ? ORDER BY target")

func (x *expansion) alias(key string) (bool, error) {
	targets, err := texts(x.tx, sqlTargets, key)
	if err != nil {
		return false, err
	}
	for _, t := range targets {
		a, err := mail.ParseAddress(t)
		if err != nil {
			return false, err
		}
		if err := x.lead(a, key); err != nil {
			return false, err
		}
	}
	return len(targets) > 0, nil
}

// lead adds everyone an address of anybody leads to, a target of the alias by, if of any.
func (x *expansion) lead(a mail.Address, by string) error {
	of, err := x.standing(a.Domain.ASCII)
	switch {
	case err != nil:
		return err
	case of.local:
		return x.follow(a)
	case of.relay != nil:
		return x.leadOn(a, *of.relay, by)
	}
	return x.forward(a)
}

func (x *expansion) forward(a mail.Address) error {
	x.kind = Here
	x.forwards[a] = true
	if x.size() > maxExpansion {
		return ErrExpansion
	}
	return nil
}

func (x *expansion) standing(domain string) (standing, error) {
	of, known := x.domains[domain]
	if known || domain == "" {
		return of, nil
	}
	of, err := standingOf(x.tx, domain)
	if err == nil {
		x.domains[domain] = of
	}
	return of, err
}

var (
	sqlFirstOfDomain = db.SQL("SELECT " + accountColumns + " FROM account WHERE domain = ? ORDER BY id LIMIT 1")
	sqlFirst         = db.SQL("SELECT " + accountColumns + " FROM account ORDER BY id LIMIT 1")
	sqlFirstDomain   = db.SQL("SELECT name FROM domain WHERE relay = '' ORDER BY created, name LIMIT 1")
)

// postmaster finds who reads a domain's postmaster mail where no alias and no
// account says so: the setting, the domain's first account, anybody's first.
func (x *expansion) postmaster(dom mail.Domain) error {
	if !x.asked {
		x.asked, x.setting = true, x.d.o.Postmaster()
	}
	if !x.setting.IsNull() {
		before := maps.Clone(x.nowhere)
		if err := x.lead(x.setting, ""); err != nil || x.kind == Here {
			return err
		}
		x.nowhere = before // others read it instead
	}
	a, ok, err := oneAccount(x.tx, sqlFirstOfDomain, dom.ASCII)
	if err == nil && !ok {
		a, ok, err = oneAccount(x.tx, sqlFirst)
	}
	if err == nil && ok {
		x.add(a)
	}
	return err
}

func (x *expansion) firstDomain() (mail.Domain, error) {
	names, err := texts(x.tx, sqlFirstDomain)
	if err != nil || len(names) == 0 {
		return mail.Domain{}, err
	}
	return mail.ParseDomain(names[0])
}

func (x *expansion) target() Target {
	t := Target{Kind: x.kind}
	byText := func(a, b mail.Address) int { return strings.Compare(a.String(), b.String()) }
	if t.Kind == Here {
		t.Nowhere = slices.SortedFunc(maps.Values(x.nowhere), byText)
	}
	t.Accounts = slices.SortedFunc(maps.Values(x.accounts), func(a, b Account) int { return cmp.Compare(a.ID, b.ID) })
	t.Forwards = slices.SortedFunc(maps.Keys(x.forwards), byText)
	return t
}

// texts returns the one text column of a query.
func texts(tx *db.Tx, s db.Stmt, args ...any) ([]string, error) {
	rows, err := tx.Query(s, args...)
	if err != nil {
		return nil, err
	}
	var out []string
	err = db.Each(rows, func(r db.Rows) error {
		var v string
		err := r.Scan(&v)
		out = append(out, v)
		return err
	})
	return out, err
}

// MaySendAs tells whether an account may use a sender address: its own, with
// or without a tag, one of ours that leads to it, or one that it was given. An
// address literal is nobody's own, though its postmaster's mail is taken in.
func (d *Directory) MaySendAs(ctx context.Context, acc Account, from mail.Address) (bool, error) {
	if from.Key() == acc.Address.Key() {
		return true, nil
	}
	if _, literal := from.Domain.Literal(); literal {
		return false, nil
	}
	t, err := d.Resolve(ctx, from)
	// Who is one of too many cannot be told from the list: for that there is the identity.
	if err != nil && !errors.Is(err, ErrNobody) && !errors.Is(err, ErrExpansion) {
		return false, err
	}
	if slices.ContainsFunc(t.Accounts, func(a Account) bool { return a.ID == acc.ID }) {
		return true, nil
	}
	return d.hasIdentity(ctx, acc, from)
}
