package sasl_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// run feeds answers to a mechanism and returns the challenges. A nil answer
// stands for an exchange that begins without an initial response.
func run(t *testing.T, mechanism string, answers ...[]byte) ([]string, sasl.Credentials, error) {
	t.Helper()
	x, ok := sasl.New(mechanism)
	if !ok {
		t.Fatalf("no mechanism %s", mechanism)
	}
	var challenges []string
	for i, a := range answers {
		challenge, done, err := x.Next(a)
		if err != nil {
			return challenges, sasl.Credentials{}, err
		}
		if done {
			if i != len(answers)-1 {
				t.Fatalf("%s was done after %d answers", mechanism, i+1)
			}
			return challenges, x.Credentials(), nil
		}
		challenges = append(challenges, string(challenge))
	}
	return challenges, sasl.Credentials{}, errors.New("the exchange is not done")
}

func TestExchanges(t *testing.T) {
	t.Parallel()
	good := sasl.Credentials{User: "taro@e.test", Password: "umi to yama"}
	text := func(s string) []byte { return []byte(s) }
	for _, c := range []struct {
		name, mechanism string
		answers         [][]byte
		challenges      []string
		want            sasl.Credentials
		err             error
	}{
		{"plain at once", "PLAIN", [][]byte{text("\x00taro@e.test\x00umi to yama")}, nil, good, nil},
		{"plain when asked", "plain", [][]byte{nil, text("\x00taro@e.test\x00umi to yama")}, []string{""}, good, nil},
		{"plain as oneself", "PLAIN", [][]byte{text("TARO@e.test\x00taro@e.test\x00umi to yama")}, nil, good, nil},
		{"plain in UTF-8", "PLAIN", [][]byte{text("\x00太郎@e.test\x00海と山")}, nil, sasl.Credentials{User: "太郎@e.test", Password: "海と山"}, nil},
		{"plain as another", "PLAIN", [][]byte{text("hanako@e.test\x00taro@e.test\x00umi to yama")}, nil, sasl.Credentials{}, sasl.ErrAuthzid},
		{"plain without password", "PLAIN", [][]byte{text("\x00taro@e.test\x00")}, nil, sasl.Credentials{}, sasl.ErrSyntax},
		{"plain without user", "PLAIN", [][]byte{text("\x00\x00secret")}, nil, sasl.Credentials{}, sasl.ErrSyntax},
		{"plain with two parts", "PLAIN", [][]byte{text("taro\x00secret")}, nil, sasl.Credentials{}, sasl.ErrSyntax},
		{"plain with four parts", "PLAIN", [][]byte{text("\x00taro\x00sec\x00ret")}, nil, sasl.Credentials{}, sasl.ErrSyntax},
		{"plain with nothing", "PLAIN", [][]byte{{}}, nil, sasl.Credentials{}, sasl.ErrSyntax},
		{"plain that is no UTF-8", "PLAIN", [][]byte{text("\x00taro\x00\xff")}, nil, sasl.Credentials{}, sasl.ErrSyntax},
		{"login", "LOGIN", [][]byte{nil, text("taro@e.test"), text("umi to yama")}, []string{"Username:", "Password:"}, good, nil},
		{"login with the user at once", "login", [][]byte{text("taro@e.test"), text("umi to yama")}, []string{"Password:"}, good, nil},
		{"login without user", "LOGIN", [][]byte{nil, {}}, []string{"Username:"}, sasl.Credentials{}, sasl.ErrSyntax},
		{"login without password", "LOGIN", [][]byte{text("taro"), {}}, []string{"Password:"}, sasl.Credentials{}, sasl.ErrSyntax},
		{"login with a zero", "LOGIN", [][]byte{text("ta\x00ro")}, nil, sasl.Credentials{}, sasl.ErrSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			challenges, got, err := run(t, c.mechanism, c.answers...)
			if !errors.Is(err, c.err) || got != c.want || !slices.Equal(challenges, c.challenges) {
				t.Errorf("challenges %q, %+v, %v", challenges, got, err)
			}
		})
	}
}

func TestMechanisms(t *testing.T) {
	t.Parallel()
	for _, name := range sasl.Mechanisms() {
		if _, ok := sasl.New(strings.ToLower(name)); !ok {
			t.Errorf("%s is announced and unknown", name)
		}
	}
	for _, name := range []string{"", "CRAM-MD5", "PLAIN ", "ANONYMOUS"} {
		if _, ok := sasl.New(name); ok {
			t.Errorf("%q is known", name)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "=": "", "AGE=": "\x00a", "YWJj": "abc"} {
		if got, err := sasl.Decode(in); err != nil || string(got) != want || got == nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]error{
		"*": sasl.ErrCancelled, "**": sasl.ErrBase64, "YWJ": sasl.ErrBase64, "YW Jj": sasl.ErrBase64, "YWJj=": sasl.ErrBase64,
		"YW\nJj": sasl.ErrBase64, "YW\rJj": sasl.ErrBase64, "YR==": sasl.ErrBase64,
	} {
		if got, err := sasl.Decode(in); !errors.Is(err, want) {
			t.Errorf("%q: %q, %v; want %v", in, got, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"*", "=", "YWJj", "AGE=", "YW Jj"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		b, err := sasl.Decode(in)
		if err == nil && in != "=" && sasl.Encode(b) != in {
			t.Errorf("%q is %q, which is %q", in, b, sasl.Encode(b))
		}
	})
}

func FuzzExchange(f *testing.F) {
	f.Add("PLAIN", []byte("\x00a\x00b"), []byte(""))
	f.Add("LOGIN", []byte("a"), []byte("b"))
	f.Fuzz(func(t *testing.T, mechanism string, one, two []byte) {
		x, ok := sasl.New(mechanism)
		if !ok {
			return
		}
		for _, a := range [][]byte{nil, one, two} {
			_, done, err := x.Next(a)
			if err != nil {
				return
			}
			if !done {
				continue
			}
			c := x.Credentials()
			if c.User == "" || c.Password == "" || strings.Contains(c.User+c.Password, "\x00") {
				t.Errorf("%+v", c)
			}
			said := slices.Concat(one, []byte{0}, two)
			if !bytes.Contains(said, []byte(c.User)) || !bytes.Contains(said, []byte(c.Password)) {
				t.Errorf("%q and %q gave %+v", one, two, c)
			}
			return
		}
	})
}
