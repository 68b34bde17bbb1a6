package returnpath_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/returnpath"
)

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// paths are those of a host at home in hayauma.test.
func paths(set returnpath.Settings, key string) *returnpath.Paths {
	return returnpath.New(returnpath.Options{
		Settings: func() returnpath.Settings { return set },
		Key:      func(context.Context) ([]byte, error) { return []byte(key), nil },
		IsLocal:  func(_ context.Context, d mail.Domain) (bool, error) { return d.ASCII == "hayauma.test", nil },
	})
}

const id = mail.ID(1<<60 + 77)

func TestFromAndBack(t *testing.T) {
	t.Parallel()
	bounces := address(t, "x@bounce.test").Domain
	for name, c := range map[string]struct {
		set    returnpath.Settings
		from   string
		domain string // "" = the address stays as it is
	}{
		"by default":                  {returnpath.Settings{}, "alice@hayauma.test", ""},
		"sender":                      {returnpath.Settings{Mode: returnpath.Sender, Domain: bounces}, "alice@hayauma.test", ""},
		"unique":                      {returnpath.Settings{Mode: returnpath.Unique}, "alice@hayauma.test", "hayauma.test"},
		"verp":                        {returnpath.Settings{Mode: returnpath.VERP}, "alice@hayauma.test", "hayauma.test"},
		"of a stranger":               {returnpath.Settings{Mode: returnpath.Unique}, "bob@far.test", ""},
		"of a stranger, in a domain":  {returnpath.Settings{Mode: returnpath.VERP, Domain: bounces}, "bob@far.test", "bounce.test"},
		"of an own user, in a domain": {returnpath.Settings{Mode: returnpath.Unique, Domain: bounces}, "alice@hayauma.test", "bounce.test"},
		"in too long a domain":        {returnpath.Settings{Mode: returnpath.VERP, Domain: address(t, "x@"+strings.Repeat("a23456789.", 22)+"test").Domain}, "a@b.test", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := paths(c.set, "key")
			from, to, other := address(t, c.from), address(t, "X@elsewhere.test"), address(t, "y@elsewhere.test")
			got, alone, err := p.From(t.Context(), id, from, to)
			if err != nil {
				t.Fatal(err)
			}
			if c.domain == "" {
				if got != from || alone {
					t.Fatalf("%s, alone %v", got, alone)
				}
				return
			}
			if got.Domain.ASCII != c.domain || !got.IsASCII() || len(got.Local) > 64 || alone != (c.set.Mode == returnpath.VERP) {
				t.Fatalf("%s, alone %v", got, alone)
			}
			shouted := mail.Address{Local: strings.ToUpper(got.Local), Domain: got.Domain}
			for _, a := range []mail.Address{got, shouted} {
				token, ok, err := p.Read(t.Context(), a)
				if err != nil || !ok || token.Message != id || token.Single() != alone {
					t.Fatalf("%s: %+v, %v, %v", a, token, ok, err)
				}
				if !token.IsFor(to) || !token.IsFor(address(t, "x@ELSEWHERE.test")) || token.IsFor(other) == alone {
					t.Errorf("%s is for %v, for another %v", a, token.IsFor(to), token.IsFor(other))
				}
			}
			again, _, _ := p.From(t.Context(), id, from, to)
			next, _, _ := p.From(t.Context(), id+1, from, to)
			if again != got || next == got {
				t.Errorf("%s, again %s, the next message's %s", got, again, next)
			}
		})
	}
}

func TestNullStaysNull(t *testing.T) {
	t.Parallel()
	for _, mode := range []returnpath.Mode{returnpath.Unique, returnpath.VERP} {
		p := paths(returnpath.Settings{Mode: mode, Domain: address(t, "x@bounce.test").Domain}, "key")
		if got, alone, err := p.From(t.Context(), id, mail.Address{}, address(t, "x@elsewhere.test")); !got.IsNull() || alone || err != nil {
			t.Errorf("%s: %s, %v, %v", mode, got, alone, err)
		}
	}
}

// TestForged: nothing but what was made here, with this key, is a return path.
func TestForged(t *testing.T) {
	t.Parallel()
	for _, mode := range []returnpath.Mode{returnpath.Unique, returnpath.VERP} {
		p := paths(returnpath.Settings{Mode: mode}, "key")
		good, _, err := p.From(t.Context(), id, address(t, "alice@hayauma.test"), address(t, "x@elsewhere.test"))
		if err != nil {
			t.Fatal(err)
		}
		bad := []mail.Address{
			{Local: good.Local, Domain: address(t, "x@far.test").Domain},
			{Local: good.Local + "0", Domain: good.Domain},
			{Local: "c" + good.Local[1:], Domain: good.Domain},
			{Local: "b+", Domain: good.Domain},
			{Local: "b", Domain: good.Domain},
			{},
		}
		for i := len("b+"); i < len(good.Local); i++ {
			for _, c := range "07v" {
				if rune(good.Local[i]) != c {
					bad = append(bad, mail.Address{Local: good.Local[:i] + string(c) + good.Local[i+1:], Domain: good.Domain})
				}
			}
			bad = append(bad, mail.Address{Local: good.Local[:i], Domain: good.Domain})
		}
		for _, a := range bad {
			if token, ok, err := p.Read(t.Context(), a); ok || err != nil {
				t.Errorf("%s: %+v, %v", a, token, err)
			}
		}
		if _, ok, _ := paths(returnpath.Settings{Mode: mode}, "another").Read(t.Context(), good); ok {
			t.Error("another key is as good")
		}
		// What left before the setting was changed still comes back.
		if _, ok, err := paths(returnpath.Settings{}, "key").Read(t.Context(), good); !ok || err != nil {
			t.Errorf("with return paths turned off: %v, %v", ok, err)
		}
	}
}

// TestKeyUnknown: where the key cannot be read nobody is told that an address does
// not exist.
func TestKeyUnknown(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	p := returnpath.New(returnpath.Options{
		Settings: func() returnpath.Settings { return returnpath.Settings{Mode: returnpath.Unique} },
		Key:      func(context.Context) ([]byte, error) { return nil, broken },
		IsLocal:  func(context.Context, mail.Domain) (bool, error) { return true, nil },
	})
	if _, _, err := p.From(t.Context(), id, address(t, "alice@hayauma.test"), address(t, "x@elsewhere.test")); !errors.Is(err, broken) {
		t.Error(err)
	}
	good, _, _ := paths(returnpath.Settings{Mode: returnpath.Unique}, "key").From(t.Context(), id, address(t, "alice@hayauma.test"), address(t, "x@elsewhere.test"))
	if _, _, err := p.Read(t.Context(), good); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	p := paths(returnpath.Settings{Mode: returnpath.VERP}, "key")
	good, _, _ := p.From(context.Background(), id, address(f, "alice@hayauma.test"), address(f, "x@elsewhere.test"))
	f.Add(good.Local)
	f.Add("b+0")
	f.Fuzz(func(t *testing.T, local string) {
		_, ok, err := p.Read(t.Context(), mail.Address{Local: local, Domain: good.Domain})
		if err != nil || ok && !strings.EqualFold(local, good.Local) {
			t.Fatalf("%q: %v, %v", local, ok, err)
		}
	})
}
