package account_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test", "other.test", "例え.test")
	w.account("taro@e.test")
	w.account("hanako@e.test")
	w.account("jiro@other.test")
	w.account("with+plus@e.test")
	w.alias("info@e.test", "taro@e.test")
	w.alias("team@e.test", "taro@e.test", "hanako@e.test", "info@e.test", "far@away.test")
	w.alias("all@e.test", "team@e.test", "jiro@other.test", "FAR@away.test", "far@AWAY.test")
	w.alias("loop1@e.test", "loop2@e.test")
	w.alias("loop2@e.test", "loop1@e.test", "taro@e.test")
	w.alias("self@e.test", "self@e.test")
	w.alias("dead@e.test", "nobody@e.test")
	w.alias("typo@e.test", "taro@e.test", "dead@e.test", "hanako@e.test", "hanakko@e.test")
	w.alias("own@e.test", "taro@e.test", "own@e.test", "whoever@other.test")
	w.alias("out@e.test", "one@away.test", "two@away.test")
	w.alias("tagged@e.test", "hanako+box@e.test")
	w.alias("*@other.test", "hanako@e.test")
	w.alias("*@例え.test", "taro@e.test", "x@例え.test")
	for from, want := range map[string]string{
		"taro@e.test":           "taro@e.test",
		"TARO@E.Test":           "taro@e.test",
		"taro+list@e.test":      "taro@e.test",
		"taro+a+b@e.test":       "taro@e.test",
		"with+plus@e.test":      "with+plus@e.test",
		"with+other@e.test":     "unknown",
		"info@e.test":           "taro@e.test",
		"info+tag@e.test":       "taro@e.test",
		"team@e.test":           "taro@e.test hanako@e.test >far@away.test",
		"all@e.test":            "taro@e.test hanako@e.test jiro@other.test >FAR@away.test >far@away.test",
		"loop1@e.test":          "taro@e.test",
		"self@e.test":           "unknown",
		"dead@e.test":           "unknown",
		"typo@e.test":           "taro@e.test hanako@e.test !hanakko@e.test !nobody@e.test",
		"typo+x@e.test":         "taro@e.test hanako@e.test !hanakko@e.test !nobody@e.test",
		"own@e.test":            "taro@e.test hanako@e.test",
		"out@e.test":            ">one@away.test >two@away.test",
		"tagged@e.test":         "hanako@e.test",
		"nobody@e.test":         "unknown",
		"nobody+tag@e.test":     "unknown",
		"jiro@other.test":       "jiro@other.test",
		"whoever@other.test":    "hanako@e.test",
		"whoever+x@other.test":  "hanako@e.test",
		"any@例え.test":           "taro@e.test",
		"any@xn--r8jz45g.test":  "taro@e.test",
		"taro@elsewhere.test":   "elsewhere",
		"taro@[192.0.2.1]":      "elsewhere",
		`"ta ro"@e.test`:        "unknown",
		"postmaster@away.test":  "elsewhere",
		"taro@sub.e.test":       "elsewhere",
		"postmaster@other.test": "jiro@other.test", // the catch-all is for others
	} {
		for range 2 { // from the tables and from the cache
			if got := w.resolve(from); got != want {
				t.Errorf("%s leads to %q, want %q", from, got, want)
			}
		}
	}
}

// TestNowhereFromEverywhere has two addresses of one catch-all that meet those who lead to
// nobody in another order and spelling: what the first found out is the answer for both.
func TestNowhereFromEverywhere(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"any@e.test", "back@e.test"} {
		w := newWorld(t, "e.test", "h.test")
		w.account("taro@h.test")
		w.alias("*@e.test", "one@h.test", "two@h.test", "taro@h.test")
		w.alias("one@h.test", "back@e.test", "gone2@h.test", "GONE3@h.test")
		w.alias("two@h.test", "gone1@h.test", "gone3@h.test")
		const want = "taro@h.test !GONE3@h.test !gone1@h.test !gone2@h.test"
		if got := w.resolve(first); got != want {
			t.Errorf("%s leads to %q, want %q", first, got, want)
		}
		got, err := w.LeadNowhere(t.Context(), "Gone3@h.test", "taro@h.test")
		w.must(err)
		if diff := cmp.Diff([]string{"Gone3@h.test"}, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestPostmaster(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test", "empty.test")
	set := func(s string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.postmaster = (mail.Address{}); s != "" {
			w.postmaster = addr(t, s)
		}
	}
	want := func(when string, leads map[string]string) {
		t.Helper()
		for from, want := range leads {
			if got := w.resolve(from); got != want {
				t.Errorf("%s: %s leads to %q, want %q", when, from, got, want)
			}
		}
	}
	want("without accounts", map[string]string{"postmaster": "nobody yet", "postmaster@e.test": "nobody yet", "info@e.test": "unknown"})
	w.account("taro@e.test")
	w.account("hanako@e.test")
	want("by default", map[string]string{
		"postmaster": "taro@e.test", "PostMaster": "taro@e.test", "PostMaster@E.TEST": "taro@e.test", "postmaster+x@e.test": "unknown",
		"postmaster@empty.test": "taro@e.test", "somebody": "unknown",
	})
	set("hanako@e.test")
	want("with a setting", map[string]string{"postmaster": "hanako@e.test", "postmaster@e.test": "hanako@e.test", "postmaster@empty.test": "hanako@e.test"})
	set("boss@away.test")
	want("with a setting elsewhere", map[string]string{"postmaster": ">boss@away.test", "postmaster@empty.test": ">boss@away.test"})
	set("gone@e.test")
	want("with a setting that leads nowhere", map[string]string{"postmaster@e.test": "taro@e.test", "postmaster@empty.test": "taro@e.test"})
	set("postmaster@e.test")
	want("with a setting that leads to itself", map[string]string{"postmaster@e.test": "taro@e.test", "postmaster@empty.test": "taro@e.test"})
	set("boss@away.test")
	w.alias("postmaster@e.test", "hanako@e.test")
	want("with an alias", map[string]string{"postmaster": "hanako@e.test", "POSTMASTER@e.test": "hanako@e.test", "postmaster@empty.test": ">boss@away.test"})
	set("")
	w.must(w.RemoveAccount(t.Context(), addr(t, "hanako@e.test")))
	want("with an alias that leads nowhere", map[string]string{"postmaster+x@e.test": "unknown"})
	want("with an alias that leads nowhere", map[string]string{"postmaster@e.test": "taro@e.test", "postmaster": "taro@e.test"})
	w.must(w.RemoveAlias(t.Context(), "postmaster@e.test"))
	w.account("postmaster@empty.test")
	want("with an account", map[string]string{"postmaster@empty.test": "postmaster@empty.test"})
}

func TestChangesAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	step := func(what, from, want string, err error) {
		t.Helper()
		w.must(err)
		if got := w.resolve(from); got != want {
			t.Errorf("%s: %s leads to %q, want %q", what, from, got, want)
		}
		local, err := w.IsLocal(ctx, domain(t, "e.test"))
		if err != nil || local != (want != "elsewhere") {
			t.Errorf("%s: local %v, %v", what, local, err)
		}
	}
	taro := addr(t, "taro@e.test")
	step("before", "taro@e.test", "elsewhere", nil)
	step("domain added", "taro@e.test", "unknown", w.AddDomain(ctx, domain(t, "e.test")))
	_, err := w.AddAccount(ctx, taro, password)
	step("account added", "taro@e.test", "taro@e.test", err)
	step("alias added", "x@e.test", "taro@e.test", w.SetAlias(ctx, "x@e.test", []string{"taro@e.test"}))
	step("alias changed", "x@e.test", ">a@away.test", w.SetAlias(ctx, "x@e.test", []string{"a@away.test"}))
	step("alias removed", "x@e.test", "unknown", w.RemoveAlias(ctx, "X@e.test"))
	step("catch-all added", "x@e.test", "taro@e.test", w.SetAlias(ctx, "*@e.test", []string{"taro@e.test"}))
	step("catch-all removed", "x@e.test", "unknown", w.RemoveAlias(ctx, "*@e.test"))
	w.must(w.SetQuota(ctx, taro, 4711))
	if target, err := w.Resolve(ctx, taro); err != nil || target.Accounts[0].Quota != 4711 {
		t.Errorf("quota: %+v, %v", target, err)
	}
	step("account removed", "taro@e.test", "unknown", w.RemoveAccount(ctx, taro))
	step("domain removed", "taro@e.test", "elsewhere", w.RemoveDomain(ctx, domain(t, "e.test")))
}

func TestExpansionIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	tooMany := func(err error) {
		t.Helper()
		if !errors.Is(err, account.ErrExpansion) {
			t.Errorf("too many: %v", err)
		}
	}
	const width = 400
	for i := range 3 {
		var to []string
		for j := range width {
			to = append(to, fmt.Sprintf("n%d-%d@e.test", i, j))
		}
		w.alias(fmt.Sprintf("group%d@e.test", i), append(to, "taro@e.test")...)
	}
	all := []string{"group0@e.test", "group1@e.test", "group2@e.test"}
	tooMany(w.SetAlias(t.Context(), "all@e.test", all))
	if got := w.resolve("all@e.test"); got != "unknown" {
		t.Errorf("the refused alias leads to %q", got)
	}
	if target, err := w.Resolve(t.Context(), addr(t, "group1@e.test")); err != nil || len(target.Accounts) != 1 || len(target.Nowhere) != width {
		t.Errorf("one group leads to %+v, %v", target.Accounts, err)
	}
	var grown []string
	for i := range 3 {
		grown = nil
		for j := range width {
			grown = append(grown, fmt.Sprintf("n%d-%d@away.test", i, j))
		}
		w.alias(fmt.Sprintf("group%d@e.test", i), grown...)
	}
	if target, err := w.Resolve(t.Context(), addr(t, "group0@e.test")); err != nil || len(target.Forwards) != width {
		t.Errorf("%d forwards, %v", len(target.Forwards), err)
	}
	tooMany(w.SetAlias(t.Context(), "all@e.test", all))
	// What it leads to may grow later.
	w.must(w.RemoveAlias(t.Context(), "group2@e.test"))
	w.alias("all@e.test", all...)
	if target, err := w.Resolve(t.Context(), addr(t, "all@e.test")); err != nil || len(target.Forwards) != 2*width {
		t.Errorf("%d forwards, %v", len(target.Forwards), err)
	}
	w.alias("group2@e.test", grown...)
	_, err := w.Resolve(t.Context(), addr(t, "all@e.test"))
	tooMany(err)
	// For who sends as it that is no failure.
	if may, err := w.MaySendAs(t.Context(), taro, addr(t, "all@e.test")); may || err != nil {
		t.Errorf("sending as it: %v, %v", may, err)
	}
}

// A chain and random aliases: resolving ends, and gives nobody twice.
func TestRandomAliases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	w.account("a0@e.test")
	w.account("a1@e.test")
	names := []string{"a0", "a1", "b0", "b1", "b2", "b3", "b4", "*"}
	rapid.Check(t, func(rt *rapid.T) {
		for _, from := range names[2:] {
			var to []string
			for range rapid.IntRange(1, 4).Draw(rt, "targets of "+from) {
				local := rapid.SampledFrom([]string{"a0", "a1", "b0", "b1", "b2", "b3", "b4", "c", "b1+tag"}).Draw(rt, "local")
				at := rapid.SampledFrom([]string{"e.test", "E.Test", "away.test"}).Draw(rt, "domain")
				to = append(to, local+"@"+at)
			}
			if err := w.SetAlias(t.Context(), from+"@e.test", to); err != nil {
				rt.Fatal(err)
			}
		}
		asked := rapid.Permutation(append([]string{"a0+t", "b0+t", "b1+t+u", "c", "c+t", "d"}, names[:7]...)).Draw(rt, "asked")
		for _, name := range asked {
			target, err := w.Resolve(t.Context(), addr(t, name+"@e.test"))
			if err != nil {
				rt.Fatal(err)
			}
			// Who remembers nothing says the same.
			anew, err := account.New(account.Options{DB: w.db}).Resolve(t.Context(), addr(t, name+"@e.test"))
			if diff := cmp.Diff(anew, target); diff != "" || err != nil {
				rt.Errorf("%s: %v\n%s", name, err, diff)
			}
			seen := map[string]bool{}
			for i, a := range target.Accounts {
				if i > 0 && target.Accounts[i-1].ID >= a.ID {
					rt.Errorf("%s: accounts out of order", name)
				}
			}
			for _, f := range target.Forwards {
				if seen[f.String()] || f.Domain.ASCII != "away.test" {
					rt.Errorf("%s: forwards %v", name, target.Forwards)
				}
				seen[f.String()] = true
			}
			if (target.Kind == account.Here) != (len(target.Accounts)+len(target.Forwards) > 0) {
				rt.Errorf("%s: %+v", name, target)
			}
		}
	})
}

func TestMaySendAs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test", "other.test")
	taro, hanako := w.account("taro@e.test"), w.account("hanako@e.test")
	jiro := w.account("taro+jiro@e.test")
	w.alias("info@e.test", "taro@e.test")
	w.alias("team@e.test", "taro@e.test", "hanako@e.test")
	w.alias("taro+hanako@e.test", "hanako@e.test")
	w.alias("*@other.test", "hanako@e.test")
	for _, c := range []struct {
		who  account.Account
		from string
		want bool
	}{
		{taro, "taro@e.test", true}, {taro, "Taro@E.test", true}, {taro, "taro+news@e.test", true},
		{taro, "info@e.test", true}, {taro, "info+x@e.test", true}, {taro, "team@e.test", true},
		{taro, "hanako@e.test", false}, {taro, "taro@other.test", false}, {taro, "taro@away.test", false}, {taro, "nobody@e.test", false},
		{taro, "postmaster@e.test", true}, {hanako, "postmaster@e.test", false},
		{taro, "taro+hanako@e.test", false}, {hanako, "taro+hanako@e.test", true}, {taro, "taro+jiro@e.test", false}, {jiro, "taro+jiro@e.test", true},
		{jiro, "jiro@other.test", false}, {hanako, "jiro+x@other.test", true}, {taro, "postmaster@[192.0.2.1]", false},
		{hanako, "team@e.test", true}, {hanako, "info@e.test", false}, {hanako, "anything@other.test", true},
	} {
		if got, err := w.MaySendAs(t.Context(), c.who, addr(t, c.from)); err != nil || got != c.want {
			t.Errorf("%s as %s: %v, %v", c.who.Address, c.from, got, err)
		}
	}
}

func TestResolveFailsWithTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	w.account("taro@e.test")
	w.must(w.db.Close())
	if target, err := w.Resolve(t.Context(), addr(t, "taro@e.test")); err == nil || target.Kind != account.Elsewhere || errors.Is(err, account.ErrNoAccount) {
		t.Errorf("%+v, %v", target, err)
	}
	if _, err := w.Authenticate(t.Context(), "taro@e.test", password); err == nil || errors.Is(err, account.ErrCredentials) {
		t.Errorf("authenticate: %v", err)
	}
}
