package sasl_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// tokens accepts one token, of taro@e.test.
func tokens() sasl.Server {
	return sasl.Server{
		Scope:     "mail",
		Discovery: "https://e.test/.well-known/openid-configuration",
		Token: func(b sasl.Bearer) (string, error) {
			if b.Token != "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==" || b.User != "" && b.User != "taro@e.test" {
				return "", sasl.ErrCredentials
			}
			return "taro@e.test", nil
		},
	}
}

const goodAuth = "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01"

func TestBearerMessages(t *testing.T) {
	t.Parallel()
	good := sasl.Bearer{User: "taro@e.test", Token: "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="}
	at := good
	at.Host, at.Port = "mail.e.test", 587
	none := sasl.Bearer{}
	for _, c := range []struct {
		name, mechanism, message string
		want                     sasl.Bearer
		err                      error
	}{
		{"RFC 7628's shape", "OAUTHBEARER", "n,a=taro@e.test,\x01host=mail.e.test\x01port=587\x01" + goodAuth + "\x01", at, nil},
		{"without a user", "OAUTHBEARER", "n,,\x01" + goodAuth + "\x01", good, nil},
		{"y", "OAUTHBEARER", "y,a=taro@e.test,\x01" + goodAuth + "\x01", good, nil},
		{"unknown pair", "OAUTHBEARER", "n,,\x01" + goodAuth + "user=x\x01\x01", good, nil},
		{"scheme in lower case", "OAUTHBEARER", "n,,\x01" + strings.Replace(goodAuth, "Bearer", "bearer", 1) + "\x01", good, nil},
		{"bound", "OAUTHBEARER", "p=tls-exporter,,\x01" + goodAuth + "\x01", none, sasl.ErrBinding},
		{"empty", "OAUTHBEARER", "", none, sasl.ErrSyntax},
		{"too long", "OAUTHBEARER", "n,,\x01" + goodAuth + "x=" + strings.Repeat("x", sasl.MaxLine) + "\x01\x01", none, sasl.ErrSyntax},
		{"separator alone", "OAUTHBEARER", "\x01", none, sasl.ErrSyntax},
		{"no pairs", "OAUTHBEARER", "n,,\x01\x01", none, sasl.ErrSyntax},
		{"no end", "OAUTHBEARER", "n,,\x01" + goodAuth, none, sasl.ErrSyntax},
		{"something behind", "OAUTHBEARER", "n,,\x01" + goodAuth + "\x01x", none, sasl.ErrSyntax},
		{"no first separator", "OAUTHBEARER", "n,," + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"auth twice", "OAUTHBEARER", "n,,\x01" + goodAuth + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"another scheme", "OAUTHBEARER", "n,,\x01auth=Basic dGFybw==\x01\x01", none, sasl.ErrSyntax},
		{"token with a space", "OAUTHBEARER", "n,,\x01auth=Bearer a b\x01\x01", none, sasl.ErrSyntax},
		{"token of padding", "OAUTHBEARER", "n,,\x01auth=Bearer ==\x01\x01", none, sasl.ErrSyntax},
		{"padding inside", "OAUTHBEARER", "n,,\x01auth=Bearer a=b\x01\x01", none, sasl.ErrSyntax},
		{"port zero", "OAUTHBEARER", "n,,\x01port=0\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"port too high", "OAUTHBEARER", "n,,\x01port=65536\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"port with a sign", "OAUTHBEARER", "n,,\x01port=+25\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"key with a digit", "OAUTHBEARER", "n,,\x01x1=2\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"pair without a key", "OAUTHBEARER", "n,,\x01=2\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"value beyond ASCII", "OAUTHBEARER", "n,,\x01host=海\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"bare equals sign in the user", "OAUTHBEARER", "n,a=a=b,\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},

		{"Google's shape", "XOAUTH2", "user=taro@e.test\x01" + goodAuth + "\x01", good, nil},
		{"Google's without a user", "XOAUTH2", "user=\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"Google's with another name", "XOAUTH2", "usr=taro@e.test\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"Google's without an end", "XOAUTH2", "user=taro@e.test\x01" + goodAuth, none, sasl.ErrSyntax},
		{"Google's without a token", "XOAUTH2", "user=taro@e.test\x01\x01", none, sasl.ErrSyntax},
		{"Google's that is no UTF-8", "XOAUTH2", "user=\xff\x01" + goodAuth + "\x01", none, sasl.ErrSyntax},
		{"Google's that is cut off", "XOAUTH2", "user=taro@e.test", none, sasl.ErrSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, _ := tokens().Begin(c.mechanism)
			if challenge, _, err := d.Next(nil); err != nil || challenge == nil || len(challenge) > 0 {
				t.Fatalf("first challenge %q, %v", challenge, err)
			}
			_, done, err := d.Next([]byte(c.message))
			if !errors.Is(err, c.err) || done != (c.err == nil) {
				t.Fatalf("%v, %v; want %v", done, err, c.err)
			}
			if done && d.Outcome() != c.want {
				t.Errorf("%+v", d.Outcome())
			}
		})
	}
}

func TestBearerRefusal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, mechanism, message, dummy, status string }{
		{"wrong token", "OAUTHBEARER", "n,a=taro@e.test,\x01auth=Bearer wrong\x01\x01", "\x01", "invalid_token"},
		{"empty dummy", "OAUTHBEARER", "n,a=taro@e.test,\x01auth=Bearer wrong\x01\x01", "", "invalid_token"},
		{"question", "OAUTHBEARER", "n,a=taro@e.test,\x01auth=\x01\x01", "\x01", "invalid_token"},
		{"question with a scheme", "OAUTHBEARER", "n,a=taro@e.test,\x01auth=Bearer \x01\x01", "\x01", "invalid_token"},
		{"wrong token of Google's", "XOAUTH2", "user=taro@e.test\x01auth=Bearer wrong\x01\x01", "", "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, _ := tokens().Begin(c.mechanism)
			challenge, done, err := d.Next([]byte(c.message))
			if done || err != nil {
				t.Fatalf("%v, %v", done, err)
			}
			var said map[string]string
			if err := json.Unmarshal(challenge, &said); err != nil || said["status"] != c.status || said["schemes"] != "bearer" ||
				said["scope"] != "mail" || said["openid-configuration"] == "" {
				t.Errorf("%s, %v", challenge, err)
			}
			if d.Claimed() != "taro@e.test" {
				t.Errorf("claimed %q", d.Claimed())
			}
			if _, done, err = d.Next([]byte(c.dummy)); done || !errors.Is(err, sasl.ErrCredentials) {
				t.Errorf("%v, %v", done, err)
			}
		})
	}
}

func TestBearerCheckFails(t *testing.T) {
	t.Parallel()
	s, broken := tokens(), errors.New("the keys cannot be fetched")
	s.Token = func(sasl.Bearer) (string, error) { return "", broken }
	d, _ := s.Begin("OAUTHBEARER")
	if _, done, err := d.Next([]byte("n,,\x01" + goodAuth + "\x01")); done || !errors.Is(err, broken) {
		t.Errorf("%v, %v", done, err)
	}
}

func TestExternal(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := sasl.Server{External: func(authzid string) (string, error) {
		switch authzid {
		case "", "taro@e.test":
			return "taro@e.test", nil
		case "broken@e.test":
			return "", broken
		}
		return "", sasl.ErrAuthzid
	}}
	for _, c := range []struct {
		name, authzid string
		want          error
	}{
		{"nobody", "", nil},
		{"oneself", "taro@e.test", nil},
		{"another", "hanako@e.test", sasl.ErrAuthzid},
		{"who cannot be looked up", "broken@e.test", broken},
		{"with a zero", "taro@e.test\x00", sasl.ErrSyntax},
		{"not UTF-8", "\xff", sasl.ErrSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, _ := s.Begin("EXTERNAL")
			if challenge, done, err := d.Next(nil); challenge == nil || len(challenge) > 0 || done || err != nil {
				t.Fatalf("%q, %v, %v", challenge, done, err)
			}
			_, done, err := d.Next([]byte(c.authzid))
			if !errors.Is(err, c.want) || done != (c.want == nil) {
				t.Fatalf("%v, %v", done, err)
			}
			if done && d.Claimed() != "taro@e.test" {
				t.Errorf("it says that it is of %q", d.Claimed())
			}
			if done && d.Outcome() != (sasl.External{User: "taro@e.test"}) {
				t.Errorf("%+v", d.Outcome())
			}
		})
	}
}
