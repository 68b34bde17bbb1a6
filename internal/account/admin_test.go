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

func TestWhatCannotBeAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	ctx := t.Context()
	w.account("taro@e.test")
	w.alias("info@e.test", "taro@e.test")
	add := func(a, password string) error {
		_, err := w.AddAccount(ctx, addr(t, a), password)
		return err
	}
	for what, c := range map[string]struct{ got, want error }{
		"a domain twice":           {w.AddDomain(ctx, domain(t, "E.Test")), account.ErrExists},
		"an address literal":       {w.AddDomain(ctx, domain(t, "[192.0.2.1]")), mail.ErrDomain},
		"no domain":                {w.AddDomain(ctx, mail.Domain{}), mail.ErrDomain},
		"an account twice":         {add("TARO@e.test", password), account.ErrExists},
		"an account over an alias": {add("info@e.test", password), account.ErrExists},
		"an account elsewhere":     {add("taro@away.test", password), account.ErrNoDomain},
		"a short password":         {add("jiro@e.test", "1234567"), account.ErrPassword},
		"a long password":          {add("jiro@e.test", strings.Repeat("x", 1025)), account.ErrPassword},
		"a star":                   {add("*@e.test", password), mail.ErrAddress},
		"an alias over an account": {w.SetAlias(ctx, "taro@e.test", []string{"x@away.test"}), account.ErrExists},
		"an alias elsewhere":       {w.SetAlias(ctx, "x@away.test", []string{"taro@e.test"}), account.ErrNoDomain},
		"an alias to no address":   {w.SetAlias(ctx, "x@e.test", []string{"taro"}), mail.ErrAddress},
		"an alias from no address": {w.SetAlias(ctx, "x", []string{"taro@e.test"}), mail.ErrAddress},
		"a catch-all of no domain": {w.SetAlias(ctx, "*@", []string{"taro@e.test"}), mail.ErrDomain},
		"removing no domain":       {w.RemoveDomain(ctx, domain(t, "away.test")), account.ErrNoDomain},
		"removing a used domain":   {w.RemoveDomain(ctx, domain(t, "e.test")), account.ErrInUse},
		"removing no account":      {w.RemoveAccount(ctx, addr(t, "info@e.test")), account.ErrNoAccount},
		"removing no alias":        {w.RemoveAlias(ctx, "taro@e.test"), account.ErrNoAlias},
		"a password for nobody":    {w.SetPassword(ctx, addr(t, "jiro@e.test"), password), account.ErrNoAccount},
		"a short new password":     {w.SetPassword(ctx, addr(t, "taro@e.test"), "x"), account.ErrPassword},
		"a quota for nobody":       {w.SetQuota(ctx, addr(t, "jiro@e.test"), 1), account.ErrNoAccount},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	if err := w.SetAlias(ctx, "x@e.test", nil); err == nil {
		t.Error("an alias to nobody was taken")
	}
	if err := w.SetAlias(ctx, "x@e.test", slices.Repeat([]string{"a@away.test"}, 501)); err == nil {
		t.Error("an alias to 501 was taken")
	}
}

func TestErrorsOfTheStoreAreNotThoseOfPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	w.must(w.db.Close())
	_, err := w.AddAccount(t.Context(), addr(t, "taro@e.test"), password)
	for _, err := range []error{err, w.SetAlias(t.Context(), "x@e.test", []string{"a@away.test"})} {
		if err == nil || errors.Is(err, account.ErrNoDomain) || errors.Is(err, account.ErrExists) {
			t.Errorf("error %v", err)
		}
	}
}

func TestListings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "b.test", "a.test")
	ctx := t.Context()
	w.mu.Lock()
	w.quota = 5000
	w.mu.Unlock()
	for _, a := range []string{"zoe@a.test", "taro@b.test", "Anna@a.test"} {
		w.account(a)
	}
	w.alias("info@b.test", "taro@b.test", "x@away.test", "taro@b.test")
	w.alias("*@a.test", "zoe@a.test")
	domains, err := w.Domains(ctx)
	w.must(err)
	if diff := cmp.Diff([]account.DomainInfo{{Name: "a.test", Accounts: 2, Aliases: 1}, {Name: "b.test", Accounts: 1, Aliases: 1}}, domains); diff != "" {
		t.Error(diff)
	}
	aliases, err := w.Aliases(ctx)
	w.must(err)
	want := []account.Alias{{Address: "*@a.test", Targets: []string{"zoe@a.test"}}, {Address: "info@b.test", Targets: []string{"taro@b.test", "x@away.test"}}}
	if diff := cmp.Diff(want, aliases); diff != "" {
		t.Error(diff)
	}
	accounts, err := w.Accounts(ctx)
	w.must(err)
	var names []string
	for _, a := range accounts {
		names = append(names, a.Address.String())
		if w.Quota(a) != 5000 || a.Tenant != account.MainTenant || a.Created == 0 {
			t.Errorf("%+v", a)
		}
		byID, err1 := w.Get(ctx, a.ID)
		byName, err2 := w.Find(ctx, a.Address)
		if err := errors.Join(err1, err2); err != nil || byID != a || byName != a {
			t.Errorf("%+v, %+v, %v; want %+v", byID, byName, err, a)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"Anna@a.test", "taro@b.test", "zoe@a.test"}) {
		t.Errorf("accounts %q", names)
	}
	if _, err := w.Get(ctx, 1); !errors.Is(err, account.ErrNoAccount) {
		t.Errorf("no such id: %v", err)
	}
	if _, err := w.Find(ctx, addr(t, "info@b.test")); !errors.Is(err, account.ErrNoAccount) {
		t.Errorf("an alias is found: %v", err)
	}
}

// Mailboxes are made and ended in the commit of their account.
func TestHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test")
	taro := w.account("taro@e.test")
	refuse := func(err error) {
		w.mu.Lock()
		w.refuse = err
		w.mu.Unlock()
	}
	broken := errors.New("no room for mailboxes")
	refuse(broken)
	if _, err := w.AddAccount(t.Context(), addr(t, "jiro@e.test"), password); !errors.Is(err, broken) {
		t.Errorf("add: %v", err)
	}
	if err := w.RemoveAccount(t.Context(), taro.Address); !errors.Is(err, broken) {
		t.Errorf("remove: %v", err)
	}
	if got := w.resolve("jiro@e.test"); got != "unknown" {
		t.Errorf("half an account: %q", got)
	}
	if got := w.resolve("taro@e.test"); got != "taro@e.test" {
		t.Errorf("half removed: %q", got)
	}
	refuse(nil)
	w.must(w.RemoveAccount(t.Context(), taro.Address))
	again := w.account("taro@e.test")
	if again.ID == taro.ID {
		t.Error("an id was used again")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.created, []mail.ID{taro.ID, again.ID}) || !slices.Equal(w.removed, []mail.ID{taro.ID}) {
		t.Errorf("created %v, removed %v", w.created, w.removed)
	}
}
