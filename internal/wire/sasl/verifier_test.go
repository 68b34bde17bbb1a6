package sasl_test

import (
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

func TestVerifierText(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := sasl.Derive("pencil", salt, 4096)
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if err != nil || v.String() != want {
		t.Fatalf("%s, %v", v, err)
	}
	back, err := sasl.ParseVerifier(want)
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%+v, %v", back, err)
	}
	for name, bad := range map[string]string{
		"nothing":              "",
		"another hash":         strings.Replace(want, "256", "1", 1),
		"few iterations":       strings.Replace(want, "4096", "4095", 1),
		"many iterations":      strings.Replace(want, "4096", "1048577", 1),
		"iterations with zero": strings.Replace(want, "4096", "04096", 1),
		"no iterations":        strings.Replace(want, "4096", "", 1),
		"no salt":              strings.Replace(want, "W22ZaJ0SNY7soEsUEjb6gQ==", "", 1),
		"long salt":            strings.Replace(want, "W22ZaJ0SNY7soEsUEjb6gQ==", strings.Repeat("AAAA", 86), 1),
		"short key":            strings.Replace(want, "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "WG5d", 1),
		"no base64":            strings.Replace(want, "WG5d", "WG*d", 1),
		"swapped marks":        strings.Replace(want, "$4096:", ":4096$", 1),
		"something behind":     want + "$",
		"line end":             want + "\n",
	} {
		if got, err := sasl.ParseVerifier(bad); !errors.Is(err, sasl.ErrVerifier) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestVerifierCheck(t *testing.T) {
	t.Parallel()
	v := verifierOf(t, "IX\u00aa 海", 0)
	// SASLprep makes these the same (RFC 4013 §3).
	for _, same := range []string{"IX\u00aa 海", "IXa 海", "I\u00adXa\u00a0海", "\u2168a\u3000海"} {
		if !v.Check(same) {
			t.Errorf("%q is wrong", same)
		}
	}
	for _, other := range []string{"", "ixa 海", "IXa海", "IXa 海 ", "\u0007", "\xff"} {
		if v.Check(other) {
			t.Errorf("%q is right", other)
		}
	}
	if (sasl.Verifier{}).Check("") {
		t.Error("an empty verifier is right")
	}
}

func TestDeriveRefuses(t *testing.T) {
	t.Parallel()
	salt := sasl.NewSalt()
	for _, c := range []struct {
		name, password string
		salt           []byte
		iterations     int
		want           error
	}{
		{"an empty password", "", salt, sasl.Iterations, sasl.ErrPrepare},
		{"a password of nothing", "\u00ad", salt, sasl.Iterations, sasl.ErrPrepare},
		{"a control character", "a\x00b", salt, sasl.Iterations, sasl.ErrPrepare},
		{"broken UTF-8", "a\xff", salt, sasl.Iterations, sasl.ErrPrepare},
		{"mixed directions", "\u0627a", salt, sasl.Iterations, sasl.ErrPrepare},
		{"what Unicode 3.2 does not know", "\U0001f40e", salt, sasl.Iterations, sasl.ErrPrepare},
		{"no salt", "pencil", nil, sasl.Iterations, sasl.ErrVerifier},
		{"few iterations", "pencil", salt, 1, sasl.ErrVerifier},
		{"many iterations", "pencil", salt, sasl.MaxIterations + 1, sasl.ErrVerifier},
	} {
		if _, err := sasl.Derive(c.password, c.salt, c.iterations); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestVerifierTextRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := sasl.Verifier{
			Salt:       rapid.SliceOfN(rapid.Byte(), 1, 256).Draw(t, "salt"),
			Iterations: rapid.IntRange(sasl.MinIterations, sasl.MaxIterations).Draw(t, "iterations"),
			StoredKey:  [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "stored")),
			ServerKey:  [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "server")),
		}
		if got, err := sasl.ParseVerifier(v.String()); err != nil || !reflect.DeepEqual(got, v) {
			t.Fatalf("%s: %+v, %v", v, got, err)
		}
	})
}

func FuzzParseVerifier(f *testing.F) {
	f.Add("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
	f.Add("SCRAM-SHA-256$4096:$:")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := sasl.ParseVerifier(s); err == nil && v.String() != s {
			t.Errorf("%q is %q", s, v)
		}
	})
}
