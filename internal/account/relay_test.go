package account_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

// relay makes a relay domain with a list.
func (w *world) relay(name string, r account.Relay, list ...string) {
	w.t.Helper()
	w.must(w.AddRelayDomain(w.t.Context(), domain(w.t, name), &r))
	for _, a := range list {
		w.must(w.AddRecipient(w.t.Context(), addr(w.t, a)))
	}
}

func TestResolveOfRelayDomains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	w.account("taro@e.test")
	w.relay("list.test", account.Relay{Recipients: account.ByList}, "Hanako@LIST.test", "with+tag@list.test", "jürgen@list.test")
	w.relay("ask.test", account.Relay{Recipients: account.ByAsk}, "sure@ask.test")
	w.alias("x@e.test", "whoever@ask.test")
	w.relay("any.test", account.Relay{Recipients: account.ByAny})
	w.relay("split.test", account.Relay{Recipients: account.ByList, Split: true}, "far@split.test", "both@split.test")
	w.relay("例え.test", account.Relay{Recipients: account.ByList}, "x@xn--r8jz45g.test")
	w.account("near@split.test")
	w.account("both@split.test")
	w.alias("desk@split.test", "near@split.test", "far@split.test")
	w.alias("on@split.test", "on@split.test", "far@split.test")
	w.alias("team@e.test", "taro@e.test", "hanako@list.test", "gone@list.test", "who@any.test", "desk@split.test")
	w.alias("dead@e.test", "gone@list.test")
	w.alias("boss@e.test", "postmaster@list.test")
	for from, want := range map[string]string{
		"hanako@list.test":      "onward",
		"HANAKO+x@List.test":    "onward",
		"with+tag@list.test":    "onward",
		"with@list.test":        "unknown",
		"with+other@list.test":  "unknown",
		"gone@list.test":        "unknown",
		"Jürgen@list.test":      "onward",
		`"hanako"@list.test`:    "onward",
		"x@例え.test":             "onward",
		"y@例え.test":             "unknown",
		"hanako@sub.list.test":  "elsewhere",
		"whoever@any.test":      "onward",
		"near@split.test":       "near@split.test",
		"near+x@split.test":     "near@split.test",
		"far+x@split.test":      "onward",
		"both@split.test":       "both@split.test",
		"desk@split.test":       "near@split.test >far@split.test",
		"on@split.test":         ">far@split.test !on@split.test",
		"none@split.test":       "unknown",
		"team@e.test":           "taro@e.test near@split.test >far@split.test >hanako@list.test >who@any.test !gone@list.test",
		"dead@e.test":           "unknown",
		"boss@e.test":           "taro@e.test",
		"sure@ask.test":         "onward",
		"who@ask.test":          "onward?",
		"x@e.test":              ">whoever@ask.test",
		"postmaster@ask.test":   "taro@e.test",
		"postmaster@any.test":   "onward",
		"postmaster@list.test":  "taro@e.test", // it is not listed
		"PostMaster@split.test": "near@split.test",
		"postmaster+x@any.test": "onward",
		"postmaster+x@e.test":   "unknown",
		"postmaster":            "taro@e.test",
	} {
		for range 2 { // from the tables and from the cache
			if got := w.resolve(from); got != want {
				t.Errorf("%s leads to %q, want %q", from, got, want)
			}
		}
	}
}

// TestAliasOfItself: in a split domain the own address among the targets of an alias is the
// mailbox on the far side, if one is known to be there.
func TestAliasOfItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	w.account("taro@e.test")
	w.relay("s.test", account.Relay{Recipients: account.ByList, Split: true}, "far@s.test", "solo@s.test", "tagged@s.test", "deep@s.test")
	w.relay("ask.test", account.Relay{Recipients: account.ByAsk, Split: true})
	w.account("near@s.test")
	w.alias("far@s.test", "FAR@s.test", "near@s.test")
	w.alias("solo@s.test", "solo@s.test")
	w.alias("tagged@s.test", "tagged+old@s.test", "near@s.test")
	w.alias("deep@s.test", "deeper@s.test")
	w.alias("deeper@s.test", "deep@s.test", "near@s.test")
	w.alias("gone@s.test", "gone@s.test", "near@s.test")
	w.alias("asked@ask.test", "asked@ask.test", "taro@e.test")
	w.alias("postmaster@ask.test", "postmaster@ask.test", "taro@e.test")
	w.alias("home@e.test", "home@e.test", "taro@e.test")
	w.alias("all@e.test", "far@s.test", "taro@e.test")
	for from, want := range map[string]string{
		"far@s.test":          "near@s.test >FAR@s.test",
		"far+x@s.test":        "near@s.test >FAR@s.test",
		"solo@s.test":         ">solo@s.test",
		"tagged@s.test":       "near@s.test >tagged+old@s.test",
		"tagged+old@s.test":   "near@s.test >tagged+old@s.test",
		"deep@s.test":         "near@s.test", // by another alias it is a loop, which is cut
		"gone@s.test":         "near@s.test !gone@s.test",
		"asked@ask.test":      "taro@e.test >asked@ask.test",
		"postmaster@ask.test": "taro@e.test >postmaster@ask.test",
		"home@e.test":         "taro@e.test",
		"all@e.test":          "taro@e.test near@s.test >FAR@s.test",
	} {
		for range 2 { // from the tables and from the cache
			if got := w.resolve(from); got != want {
				t.Errorf("%s leads to %q, want %q", from, got, want)
			}
		}
	}
	got, err := w.LeadNowhere(t.Context(), "far@s.test", "Gone@s.test", "near@s.test")
	if w.must(err); !slices.Equal(got, []string{"Gone@s.test"}) {
		t.Errorf("to nobody lead %v", got)
	}
}

// A gateway may have no account at all: then the postmaster of a relay domain is left
// to the next host, until there is somebody here.
func TestPostmasterOfARelayDomain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.relay("r.test", account.Relay{Recipients: account.ByList}, "admin@r.test")
	want := func(when, want string) {
		t.Helper()
		if got := w.resolve("postmaster@r.test"); got != want {
			t.Errorf("%s: it leads to %q, want %q", when, got, want)
		}
	}
	want("without anybody", "onward")
	if got := w.resolve("postmaster"); got != "nobody yet" {
		t.Errorf("the bare one leads to %q", got)
	}
	w.mu.Lock()
	w.postmaster = addr(t, "admin@r.test")
	w.mu.Unlock()
	want("with a setting in the domain itself", ">admin@r.test")
	w.mu.Lock()
	w.postmaster = addr(t, "postmaster@r.test")
	w.mu.Unlock()
	want("with a setting that leads to itself", "onward")
	w.must(w.AddDomain(t.Context(), domain(t, "e.test")))
	w.account("taro@e.test")
	want("with an account", "taro@e.test")
	w.must(w.AddRecipient(t.Context(), addr(t, "postmaster@r.test")))
	want("listed", "onward")
}

func TestChangesOfRelayDomainsAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	ctx, e := t.Context(), domain(t, "e.test")
	step := func(what, want string, err error) {
		t.Helper()
		w.must(err)
		if got := w.resolve("a@e.test"); got != want {
			t.Errorf("%s: it leads to %q, want %q", what, got, want)
		}
		r, err := w.Relay(ctx, e)
		if local, lerr := w.IsLocal(ctx, e); err != nil || lerr != nil || local == (r != nil) {
			t.Errorf("%s: local %v, relay %v, %v %v", what, local, r, err, lerr)
		}
	}
	to := func(r *account.Relay) error {
		return w.ChangeDomain(ctx, e, func(*account.Relay) (*account.Relay, error) { return r, nil })
	}
	step("local", "unknown", nil)
	step("any", "onward", to(&account.Relay{Recipients: account.ByAny}))
	step("a list", "unknown", to(&account.Relay{Recipients: account.ByList}))
	step("listed", "onward", w.AddRecipient(ctx, addr(t, "A@e.test")))
	step("split", "onward", to(&account.Relay{Recipients: account.ByList, Split: true}))
	_, err := w.AddAccount(ctx, addr(t, "a@e.test"), password)
	step("an account", "a@e.test", err)
	step("no account", "onward", w.RemoveAccount(ctx, addr(t, "a@e.test")))
	_, err = w.ImportRecipients(ctx, e, strings.NewReader("b@e.test\n"))
	step("another list", "unknown", err)
	step("the list again", "onward", w.AddRecipient(ctx, addr(t, "a@e.test")))
	step("taken out", "unknown", w.RemoveRecipient(ctx, addr(t, "a@e.test")))
	step("local again", "unknown", to(nil))
	step("a list that was forgotten", "unknown", to(&account.Relay{Recipients: account.ByList}))
	w.must(w.AddRecipient(ctx, addr(t, "a@e.test")))
	w.must(w.RemoveDomain(ctx, e))
	if got := w.resolve("a@e.test"); got != "elsewhere" {
		t.Errorf("removed: it leads to %q", got)
	}
}

func TestWhatARelayDomainMayBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test", "caught.test")
	ctx := t.Context()
	w.account("taro@e.test")
	w.alias("*@caught.test", "taro@e.test")
	w.relay("r.test", account.Relay{Recipients: account.ByList})
	w.relay("s.test", account.Relay{Recipients: account.ByList, Split: true})
	change := func(name string, r *account.Relay) error {
		return w.ChangeDomain(ctx, domain(t, name), func(*account.Relay) (*account.Relay, error) { return r, nil })
	}
	add := func(s string) error { _, err := w.AddAccount(ctx, addr(t, s), password); return err }
	list := func(name, text string) error {
		_, err := w.ImportRecipients(ctx, domain(t, name), strings.NewReader(text))
		return err
	}
	for what, c := range map[string]struct{ got, want error }{
		"an account in it":          {add("a@r.test"), account.ErrRelay},
		"an alias in it":            {w.SetAlias(ctx, "a@r.test", []string{"taro@e.test"}), account.ErrRelay},
		"a catch-all in a split":    {w.SetAlias(ctx, "*@s.test", []string{"taro@e.test"}), account.ErrCatchAll},
		"a domain with accounts":    {change("e.test", &account.Relay{Recipients: account.ByAny}), account.ErrNotSplit},
		"a domain with a catch-all": {change("caught.test", &account.Relay{Recipients: account.ByAny, Split: true}), account.ErrCatchAll},
		"a domain that is not ours": {change("x.test", &account.Relay{Recipients: account.ByAny}), account.ErrNoDomain},
		"a list of a local domain":  {list("e.test", ""), account.ErrNotRelay},
		"a list of nobody's":        {list("x.test", ""), account.ErrNoDomain},
		"a recipient twice":         {errors.Join(w.AddRecipient(ctx, addr(t, "a@r.test")), w.AddRecipient(ctx, addr(t, "A@r.test"))), account.ErrExists},
		"one who is not listed":     {w.RemoveRecipient(ctx, addr(t, "z@r.test")), account.ErrNoRecipient},
		"a next host with a path":   {change("r.test", &account.Relay{Recipients: account.ByAny, To: []string{"smtp://x.test"}}), account.ErrNextHost},
		"a port that is none":       {change("r.test", &account.Relay{Recipients: account.ByAny, To: []string{"x.test:0"}}), account.ErrNextHost},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	for what, r := range map[string]account.Relay{
		"a mode":             {Recipients: "some"},
		"TLS":                {Recipients: account.ByAny, To: []string{"x.test"}, TLS: "maybe"},
		"TLS without a host": {Recipients: account.ByAny, TLS: account.VerifyTLS},
		"too many hosts":     {Recipients: account.ByAny, To: strings.Fields("a b c d e f")},
	} {
		if err := change("r.test", &r); err == nil {
			t.Errorf("%s: it is let pass", what)
		}
	}
	w.must(change("r.test", &account.Relay{Recipients: account.ByAny, To: []string{"MX.x.test", "[2001:DB8::1]:2525", "192.0.2.1", "2001:db8::2"}, TLS: account.VerifyTLS}))
	domains, err := w.Domains(ctx)
	w.must(err)
	want := []account.DomainInfo{
		{Name: "caught.test", Aliases: 1},
		{Name: "e.test", Accounts: 1},
		{Name: "r.test", Recipients: 1, Relay: &account.Relay{Recipients: account.ByAny, To: []string{"mx.x.test", "[2001:db8::1]:2525", "192.0.2.1", "2001:db8::2"}, TLS: account.VerifyTLS}},
		{Name: "s.test", Relay: &account.Relay{Recipients: account.ByList, Split: true, To: []string{}}},
	}
	if diff := cmp.Diff(want, domains); diff != "" {
		t.Error(diff)
	}
}

func TestImportOfRecipients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.relay("r.test", account.Relay{Recipients: account.ByList}, "old@r.test", "kept@r.test")
	ctx, r := t.Context(), domain(t, "r.test")
	run := func(text string, want account.Imported, list string) {
		t.Helper()
		got, err := w.ImportRecipients(ctx, r, strings.NewReader(text))
		w.must(err)
		all, err := w.Recipients(ctx, r, "", 100)
		w.must(err)
		if got != want || strings.Join(all, " ") != list {
			t.Errorf("import of %q: %+v, now %q", text, got, all)
		}
	}
	run("\ufeff# from the directory\r\nKept@R.test\r\n\r\n new@r.test \nnew@r.test\n", account.Imported{Listed: 2, Added: 1, Removed: 1}, "kept@r.test new@r.test")
	for text, want := range map[string]string{
		"a@r.test\nb@other.test\n":                          "line 2: b@other.test is of another domain",
		"a@r.test\n\nnonsense\n":                            `line 3: "nonsense"`,
		"a@r.test\n" + strings.Repeat("x", 2000) + "\n":     "line 2: ",
		strings.Repeat("a@r.test\n", 200_001):               "at most 200000 addresses",
		"a@r.test\nsmtp:b@r.test, c@r.test\n# and so on...": "line 2",
	} {
		if _, err := w.ImportRecipients(ctx, r, strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("import of %.40q: %v, want %q", text, err, want)
		}
	}
	run("new@r.test\nkept@r.test", account.Imported{Listed: 2}, "kept@r.test new@r.test")
	if some, err := w.Recipients(ctx, r, "kept@r.test", 1); err != nil || strings.Join(some, " ") != "new@r.test" {
		t.Errorf("behind kept: %q, %v", some, err)
	}
	run("", account.Imported{Removed: 2}, "")
	if _, err := w.Resolve(ctx, mail.Address{Local: "new", Domain: r}); err != nil {
		t.Error(err)
	}
}
