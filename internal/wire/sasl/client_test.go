package sasl_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// words draws texts with what the mechanisms escape or forbid near their edges,
// all of which SASLprep leaves alone.
func words() *rapid.Generator[string] {
	letters := []rune("aZ09,,==2C=3D@.+-_%$:;\"'\\ 海と山のあいだ漢字éß")
	return rapid.StringOfN(rapid.SampledFrom(letters), 1, 20, -1)
}

// named is a certificate of one user.
func named(user string) func(string) (string, error) {
	return func(authzid string) (string, error) {
		if authzid != "" && authzid != user {
			return "", sasl.ErrAuthzid
		}
		return user, nil
	}
}

// everything is a server that knows one user in every way.
func everything(t testing.TB, user, password, token string) sasl.Server {
	s := serverOf(user, verifierOf(t, password, 7), verifierOf(t, password+"!", 8))
	s.Passwords, s.External, s.Binding = true, named(user), sasl.Binding{Exporter: []byte("exporter")}
	s.Token = func(b sasl.Bearer) (string, error) {
		if b.User != user || b.Token != token {
			return "", sasl.ErrCredentials
		}
		return b.User, nil
	}
	return s
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		user, password := words().Draw(r, "user"), words().Draw(r, "password")
		token := rapid.StringMatching(`[A-Za-z0-9._~+/-]{1,30}={0,2}`).Draw(r, "token")
		s := everything(t, user, password, token)
		withPassword := sasl.ClientCredentials{User: user, Password: password, Binding: s.Binding, Offered: s.Mechanisms()}
		withToken := sasl.ClientCredentials{User: user, Token: token, Host: "mail.e.test", Port: 587}
		bearer := sasl.Bearer{User: user, Token: token}
		for _, c := range []struct {
			mechanism string
			client    sasl.ClientCredentials
			want      sasl.Outcome
		}{
			{"PLAIN", withPassword, sasl.Credentials{User: user, Password: password}},
			{"LOGIN", withPassword, sasl.Credentials{User: user, Password: password}},
			{"SCRAM-SHA-256", withPassword, sasl.Proven{User: user, ID: 7}},
			{"SCRAM-SHA-256-PLUS", withPassword, sasl.Proven{User: user, ID: 7}},
			{"OAUTHBEARER", withToken, sasl.Bearer{User: user, Token: token, Host: "mail.e.test", Port: 587}},
			{"XOAUTH2", withToken, bearer},
			{"EXTERNAL", sasl.ClientCredentials{}, sasl.External{User: user}},
		} {
			for _, atOnce := range []bool{true, false} {
				d, _ := s.Begin(c.mechanism)
				client, ok := sasl.NewClient(c.mechanism, c.client)
				if !ok {
					r.Fatalf("no client of %s", c.mechanism)
				}
				if err := converse(d, client, atOnce); err != nil || d.Outcome() != c.want || d.Claimed() != user {
					r.Fatalf("%s: %+v, %v", c.mechanism, d.Outcome(), err)
				}
			}
		}
	})
}

func TestWrongProofs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		user, password, other := words().Draw(r, "user"), words().Draw(r, "password"), words().Draw(r, "other")
		if other == password || other == password+"!" {
			r.Skip()
		}
		s := everything(t, user, password, "token")
		for _, c := range []sasl.ClientCredentials{
			{User: user, Password: other}, {User: user + "x", Password: password},
			{User: user, Token: "other"}, {User: user + "x", Token: "token"},
		} {
			mechanisms := []string{"SCRAM-SHA-256"}
			if c.Token != "" {
				mechanisms = []string{"OAUTHBEARER", "XOAUTH2"}
			}
			for _, m := range mechanisms {
				d, _ := s.Begin(m)
				client, _ := sasl.NewClient(m, c)
				if err := converse(d, client, true); !errors.Is(err, sasl.ErrCredentials) {
					r.Fatalf("%s as %+v: %v", m, c, err)
				}
			}
		}
	})
}

// The names are one to SASLprep, so they are one user.
func TestPreparedNames(t *testing.T) {
	t.Parallel()
	s := serverOf("IXa", verifierOf(t, "pass word", 0))
	for _, user := range []string{"IXa", "I\u00adXa", "\u2168\u00aa"} {
		got, err := login(t, s, "SCRAM-SHA-256", sasl.ClientCredentials{User: user, Password: "pass\u3000word"})
		if err != nil || got != (sasl.Proven{User: "IXa"}) {
			t.Errorf("%q: %+v, %v", user, got, err)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	all := []string{"LOGIN", "plain", "XOAUTH2", "OAUTHBEARER", "EXTERNAL", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CRAM-MD5"}
	bound := sasl.Binding{EndPoint: []byte("x")}
	for _, c := range []struct {
		name string
		c    sasl.ClientCredentials
		want string
	}{
		{"a password", sasl.ClientCredentials{Password: "p", Offered: all}, "SCRAM-SHA-256"},
		{"a password and a binding", sasl.ClientCredentials{Password: "p", Binding: bound, Offered: all}, "SCRAM-SHA-256-PLUS"},
		{"a password and an old server", sasl.ClientCredentials{Password: "p", Offered: all[:2]}, "PLAIN"},
		{"a password and a very old server", sasl.ClientCredentials{Password: "p", Offered: all[:1]}, "LOGIN"},
		{"a token", sasl.ClientCredentials{Token: "t", Offered: all}, "OAUTHBEARER"},
		{"a token for Google", sasl.ClientCredentials{Token: "t", Offered: all[:3]}, "XOAUTH2"},
		{"a certificate", sasl.ClientCredentials{Offered: all}, "EXTERNAL"},
		{"a token and a server of passwords", sasl.ClientCredentials{Token: "t", Offered: all[:2]}, ""},
		{"nothing in common", sasl.ClientCredentials{Password: "p", Offered: []string{"CRAM-MD5"}}, ""},
	} {
		got, ok := c.c.Choose()
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v", c.name, got, ok)
		}
		if _, known := sasl.NewClient(got, c.c); known != ok {
			t.Errorf("%s: %q is chosen and not known", c.name, got)
		}
	}
}

// Nothing leaves that the server would read as something else.
func TestClientRefusesItsOwnSide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, mechanism string
		c               sasl.ClientCredentials
		want            error
	}{
		{"zero in the user", "PLAIN", sasl.ClientCredentials{User: "a\x00b", Password: "p"}, sasl.ErrUnusable},
		{"zero in the password", "PLAIN", sasl.ClientCredentials{User: "a", Password: "p\x00"}, sasl.ErrUnusable},
		{"no user", "PLAIN", sasl.ClientCredentials{Password: "p"}, sasl.ErrUnusable},
		{"no user in SCRAM", "SCRAM-SHA-256", sasl.ClientCredentials{Password: "p"}, sasl.ErrPrepare},
		{"prohibited user", "SCRAM-SHA-256", sasl.ClientCredentials{User: "\x07", Password: "p"}, sasl.ErrPrepare},
		{"separator in the user", "XOAUTH2", sasl.ClientCredentials{User: "a\x01host=x", Token: "t"}, sasl.ErrUnusable},
		{"separator in the token", "XOAUTH2", sasl.ClientCredentials{User: "a", Token: "t\x01host=x"}, sasl.ErrUnusable},
		{"separator in the host", "OAUTHBEARER", sasl.ClientCredentials{Token: "t", Host: "a\x01port=1"}, sasl.ErrUnusable},
		{"space in the token", "OAUTHBEARER", sasl.ClientCredentials{Token: " t"}, sasl.ErrUnusable},
		{"port beyond ports", "OAUTHBEARER", sasl.ClientCredentials{Token: "t", Port: 70000}, sasl.ErrUnusable},
	} {
		client, ok := sasl.NewClient(c.mechanism, c.c)
		if !ok {
			t.Fatalf("%s: no %s", c.name, c.mechanism)
		}
		if answer, done, err := client.Next(nil); answer != nil && err == nil || done || !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v, %v", c.name, answer, done, err)
		}
	}
	client, _ := sasl.NewClient("SCRAM-SHA-256", sasl.ClientCredentials{User: "a", Password: "\x07", Nonce: func() string { return "abc" }})
	if _, _, err := client.Next(nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := client.Next([]byte("r=abcd,s=AAAA,i=4096")); !errors.Is(err, sasl.ErrPrepare) {
		t.Errorf("prohibited password: %v", err)
	}
}

func TestClientsEnd(t *testing.T) {
	t.Parallel()
	for mechanism, c := range map[string]sasl.ClientCredentials{
		"PLAIN": {User: "a", Password: "p"}, "LOGIN": {User: "a", Password: "p"}, "EXTERNAL": {},
		"OAUTHBEARER": {Token: "t"}, "XOAUTH2": {User: "a", Token: "t"},
	} {
		client, _ := sasl.NewClient(mechanism, c)
		var err error
		for range 5 {
			if _, _, err = client.Next(nil); err != nil {
				break
			}
		}
		if !errors.Is(err, sasl.ErrChallenge) {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
}

func FuzzServer(f *testing.F) {
	f.Add(uint8(0), []byte("p=tls-exporter,,n=user,r=abc"), []byte(vectorFinal), []byte(""))
	f.Add(uint8(1), []byte(vectorFirst), []byte(vectorFinal), []byte(""))
	f.Add(uint8(2), []byte("user"), []byte(""), []byte(""))
	f.Add(uint8(3), []byte("n,a=user,\x01host=h\x01port=1\x01auth=Bearer t\x01\x01"), []byte("\x01"), []byte(""))
	f.Add(uint8(4), []byte("user=user\x01auth=Bearer x\x01\x01"), []byte(""), []byte(""))
	f.Add(uint8(5), []byte("\x00user\x00pencil"), []byte(""), []byte(""))
	s := vectorServerSide(f)
	s.Passwords, s.External = true, named("user")
	s.Token = func(b sasl.Bearer) (string, error) {
		if b.Token != "t" {
			return "", sasl.ErrCredentials
		}
		return "user", nil
	}
	f.Fuzz(func(t *testing.T, which uint8, one, two, three []byte) {
		s := s
		if which%2 == 0 {
			s.Binding = sasl.Binding{Exporter: []byte("exporter")}
		}
		names := s.Mechanisms()
		name := names[int(which)%len(names)]
		d, _ := s.Begin(name)
		over := false
		for _, answer := range [][]byte{one, two, three} {
			challenge, done, err := d.Next(answer)
			if over && err == nil {
				t.Fatalf("%s goes on after its end", name)
			}
			over = over || done || err != nil
			switch {
			case err != nil && (done || challenge != nil), done && challenge != nil:
				t.Fatalf("%s: %q, %v, %v", name, challenge, done, err)
			case !over && len(sasl.Encode(challenge))+2 > sasl.MaxLine:
				t.Fatalf("%s: a challenge of %d octets", name, len(challenge))
			case done:
				checkOutcome(t, name, d.Outcome(), one, two)
			}
		}
	})
}

// checkOutcome says no to a success that the answers do not hold.
func checkOutcome(t *testing.T, name string, o sasl.Outcome, one, two []byte) {
	t.Helper()
	switch o := o.(type) {
	case sasl.Proven:
		if o.User != "user" || !strings.Contains(string(two), ",p=") || name == "SCRAM-SHA-256" && string(two) != vectorFinal && string(one) == vectorFirst {
			t.Errorf("%s: %+v after %q and %q", name, o, one, two)
		}
	case sasl.Bearer:
		if o.User != "user" || o.Token != "t" {
			t.Errorf("%s: %+v", name, o)
		}
	case sasl.External:
		if o.User != "user" {
			t.Errorf("%s: %+v", name, o)
		}
	case sasl.Credentials:
		if o.User == "" || o.Password == "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
}

func FuzzClient(f *testing.F) {
	names := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"}
	f.Add(uint8(1), []byte(vectorServer), []byte(vectorProof))
	f.Add(uint8(1), []byte(vectorServer), []byte("e=other-error"))
	f.Add(uint8(0), []byte("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096"), []byte("v=AAAA"))
	f.Add(uint8(3), []byte("Username:"), []byte("Password:"))
	f.Fuzz(func(t *testing.T, which uint8, one, two []byte) {
		name := names[int(which)%len(names)]
		client, _ := sasl.NewClient(name, sasl.ClientCredentials{
			User: "user", Password: "pencil", Binding: sasl.Binding{EndPoint: []byte("end point")},
			Nonce: func() string { return "rOprNGfwEbeRWgbNEkqO" },
		})
		challenges := [][]byte{nil, one, two}
		for i, challenge := range challenges {
			// A high count only makes the fuzzer slow.
			if at := strings.Index(string(challenge), ",i="); at >= 0 && !strings.HasPrefix(string(challenge[at:]), ",i=4096") {
				return
			}
			answer, done, err := client.Next(challenge)
			if err != nil {
				if done {
					t.Fatalf("%s is done with %v", name, err)
				}
				return
			}
			if len(sasl.Encode(answer))+2 > sasl.MaxLine {
				t.Fatalf("%s: an answer of %d octets", name, len(answer))
			}
			if done && strings.HasPrefix(name, "SCRAM") && !slices.Equal(one, []byte(vectorServer)) && i == 2 {
				t.Fatalf("%s believes %q after %q", name, two, one)
			}
		}
	})
}
