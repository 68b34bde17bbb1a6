package account_test

import (
	"fmt"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
)

// Whoever writes to us chooses the names: what a group leads to is held once,
// not once for each name that reaches it.
func TestNamesShareWhereTheyLead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test", "catch.test")
	var to []string
	for i := range 500 {
		to = append(to, fmt.Sprintf("n%d@away.test", i))
	}
	w.alias("list@e.test", to...)
	w.alias("*@catch.test", to...)
	for _, form := range []string{"list+%d@e.test", "r%d@catch.test", "r+%d@catch.test"} {
		var first account.Target
		for i := range 100 {
			got, err := w.Resolve(t.Context(), addr(t, fmt.Sprintf(form, i)))
			w.must(err)
			if i == 0 {
				first = got
			}
			if len(got.Forwards) != 500 || &got.Forwards[0] != &first.Forwards[0] {
				t.Fatalf(form+" has a copy of its own", i)
			}
		}
	}
}

// A name asked before costs no look-up: it is answered with the store away.
func TestKnownNamesNeedNoStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "e.test", "catch.test", "empty.test")
	w.account("taro@e.test")
	w.alias("info@e.test", "taro@e.test", "x@away.test")
	w.alias("*@catch.test", "taro@e.test")
	names := map[string]string{
		"taro@e.test": "taro@e.test", "taro+x@e.test": "taro@e.test", "info@e.test": "taro@e.test >x@away.test",
		"any@catch.test": "taro@e.test", "nobody@e.test": "unknown", "x@away.test": "elsewhere",
		"postmaster": "taro@e.test", "postmaster@empty.test": "taro@e.test",
	}
	for name := range names {
		w.resolve(name)
	}
	w.must(w.db.Close())
	names["y@away.test"] = "elsewhere"
	for name, want := range names {
		if got := w.resolve(name); got != want {
			t.Errorf("%s leads to %q, want %q", name, got, want)
		}
	}
}
