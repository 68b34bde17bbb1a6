package sasl_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// The exchange of RFC 7677 §3.
const (
	vectorFirst  = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	vectorServer = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	vectorFinal  = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	vectorProof  = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func vectorNonce() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }

func vectorServerSide(t testing.TB) sasl.Server {
	t.Helper()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := sasl.Derive("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := serverOf("user", v)
	s.Nonce = vectorNonce
	return s
}

func TestScramVectorOfRFC7677(t *testing.T) {
	t.Parallel()
	d, _ := vectorServerSide(t).Begin("scram-sha-256")
	c, _ := sasl.NewClient("SCRAM-SHA-256", sasl.ClientCredentials{
		User: "user", Password: "pencil", Nonce: func() string { return "rOprNGfwEbeRWgbNEkqO" },
	})
	first, done, err := c.Next(nil)
	if string(first) != vectorFirst || done || err != nil {
		t.Fatalf("client first: %q %v %v", first, done, err)
	}
	challenge, done, err := d.Next(first)
	if string(challenge) != vectorServer || done || err != nil {
		t.Fatalf("server first: %q %v %v", challenge, done, err)
	}
	final, done, err := c.Next(challenge)
	if string(final) != vectorFinal || done || err != nil {
		t.Fatalf("client final: %q %v %v", final, done, err)
	}
	proof, done, err := d.Next(final)
	if string(proof) != vectorProof || done || err != nil {
		t.Fatalf("server final: %q %v %v", proof, done, err)
	}
	last, believe, err := c.Next(proof)
	if len(last) != 0 || last == nil || !believe || err != nil {
		t.Fatalf("client's last: %q %v %v", last, believe, err)
	}
	if _, done, err = d.Next(last); !done || err != nil {
		t.Fatalf("server's last: %v %v", done, err)
	}
	if d.Outcome() != (sasl.Proven{User: "user"}) || d.Claimed() != "user" {
		t.Errorf("%+v", d.Outcome())
	}
	if _, _, err = d.Next([]byte{}); !errors.Is(err, sasl.ErrSyntax) {
		t.Errorf("a finished exchange goes on: %v", err)
	}
}

func TestScramClientFirst(t *testing.T) {
	t.Parallel()
	bound := sasl.Binding{Exporter: []byte("exporter"), EndPoint: []byte("end point")}
	long := strings.Repeat("n", 1025)
	for _, c := range []struct {
		name, mechanism, message string
		binding                  sasl.Binding
		want                     error
	}{
		{"RFC 5802's shape", "", "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", sasl.Binding{}, nil},
		{"with an extension", "", "n,,n=user,r=abc,x=1,Y=2=3", sasl.Binding{}, nil},
		{"y where nothing is offered", "", "y,,n=user,r=abc", sasl.Binding{}, nil},
		{"n although binding is offered", "", "n,,n=user,r=abc", bound, nil},
		{"as oneself", "", "n,a=USER,n=user,r=abc", sasl.Binding{}, nil},
		{"escaped", "", "n,a=a=2Cb=3D,n=a=2Cb=3D,r=abc", sasl.Binding{}, nil},
		{"bound", "-PLUS", "p=tls-exporter,,n=user,r=abc", bound, nil},
		{"bound to the end point", "-PLUS", "p=tls-server-end-point,,n=user,r=abc", bound, nil},

		{"as another", "", "n,a=other,n=user,r=abc", sasl.Binding{}, sasl.ErrAuthzid},
		{"downgraded", "", "y,,n=user,r=abc", bound, sasl.ErrDowngrade},
		{"downgraded in PLUS", "-PLUS", "y,,n=user,r=abc", bound, sasl.ErrDowngrade},
		{"unbound in PLUS", "-PLUS", "n,,n=user,r=abc", bound, sasl.ErrBinding},
		{"bound without PLUS", "", "p=tls-exporter,,n=user,r=abc", bound, sasl.ErrBinding},
		{"bound without offer", "", "p=tls-exporter,,n=user,r=abc", sasl.Binding{}, sasl.ErrBinding},
		{"bound by another kind", "-PLUS", "p=tls-unique,,n=user,r=abc", bound, sasl.ErrBinding},
		{"bound by what is not there", "-PLUS", "p=tls-exporter,,n=user,r=abc", sasl.Binding{EndPoint: []byte("e")}, sasl.ErrBinding},

		{"empty", "", "", sasl.Binding{}, sasl.ErrSyntax},
		{"too long", "", "n,,n=user,r=abc,x=" + strings.Repeat("x", sasl.MaxLine), sasl.Binding{}, sasl.ErrSyntax},
		{"long nonce", "", "n,,n=user,r=" + long, sasl.Binding{}, sasl.ErrSyntax},
		{"no header", "", "n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"half a header", "", "n,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"unknown flag", "", "x,,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"flag in upper case", "", "N,,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"non-standard header", "", "F,n,,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"p without kind", "-PLUS", "p=,,n=user,r=abc", bound, sasl.ErrSyntax},
		{"p alone", "-PLUS", "p,,n=user,r=abc", bound, sasl.ErrSyntax},
		{"kind with a space", "-PLUS", "p=tls exporter,,n=user,r=abc", bound, sasl.ErrSyntax},
		{"authzid without a", "", "n,user,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"empty authzid", "", "n,a=,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"mandatory extension", "", "n,,m=x,n=user,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"mandatory extension behind", "", "n,,n=user,r=abc,m=x", sasl.Binding{}, sasl.ErrSyntax},
		{"no user", "", "n,,n=,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"no nonce", "", "n,,n=user,r=", sasl.Binding{}, sasl.ErrSyntax},
		{"no nonce at all", "", "n,,n=user", sasl.Binding{}, sasl.ErrSyntax},
		{"other order", "", "n,,r=abc,n=user", sasl.Binding{}, sasl.ErrSyntax},
		{"comma at the end", "", "n,,n=user,r=abc,", sasl.Binding{}, sasl.ErrSyntax},
		{"extension without value", "", "n,,n=user,r=abc,x=", sasl.Binding{}, sasl.ErrSyntax},
		{"extension that is none", "", "n,,n=user,r=abc,xyz", sasl.Binding{}, sasl.ErrSyntax},
		{"second user", "", "n,,n=user,r=abc,n=other", sasl.Binding{}, sasl.ErrSyntax},
		{"space in the nonce", "", "n,,n=user,r=a c", sasl.Binding{}, sasl.ErrSyntax},
		{"nonce beyond ASCII", "", "n,,n=user,r=あ", sasl.Binding{}, sasl.ErrSyntax},
		{"bare equals sign", "", "n,,n=us=er,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"escape in lower case", "", "n,,n=a=2cb,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"unknown escape", "", "n,,n=a=41,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"escape cut off", "", "n,,n=a=2,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"zero in the name", "", "n,,n=a\x00b,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"not UTF-8", "", "n,,n=\xff,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"prohibited by SASLprep", "", "n,,n=a\u0007b,r=abc", sasl.Binding{}, sasl.ErrSyntax},
		{"nothing after SASLprep", "", "n,,n=\u00ad,r=abc", sasl.Binding{}, sasl.ErrSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serverOf("user", verifierOf(t, "pencil", 0))
			s.Binding = c.binding
			d, ok := s.Begin("SCRAM-SHA-256" + c.mechanism)
			if !ok {
				t.Fatal("not offered")
			}
			if _, _, err := d.Next([]byte(c.message)); !errors.Is(err, c.want) {
				t.Errorf("%v; want %v", err, c.want)
			}
		})
	}
}

func TestScramClientFinal(t *testing.T) {
	t.Parallel()
	const nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	const proof = "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	for _, c := range []struct {
		name, message string
		want          error
	}{
		{"right", vectorFinal, nil},
		{"wrong proof", "c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)), sasl.ErrCredentials},
		{"with an extension that the proof does not cover", "c=biws," + nonce + ",x=1," + proof, sasl.ErrCredentials},
		{"nonce of another run", "c=biws,r=rOprNGfwEbeRWgbNEkqOother," + proof, sasl.ErrCredentials},
		{"own nonce alone", "c=biws,r=rOprNGfwEbeRWgbNEkqO," + proof, sasl.ErrCredentials},
		{"other header", "c=eSws," + nonce + "," + proof, sasl.ErrBinding},
		{"empty", "", sasl.ErrSyntax},
		{"no proof", "c=biws," + nonce, sasl.ErrSyntax},
		{"empty proof", "c=biws," + nonce + ",p=", sasl.ErrSyntax},
		{"short proof", "c=biws," + nonce + ",p=AAAA", sasl.ErrSyntax},
		{"proof that is no base64", "c=biws," + nonce + ",p=****", sasl.ErrSyntax},
		{"something behind the proof", vectorFinal + ",x=1", sasl.ErrSyntax},
		{"two proofs", "c=biws," + nonce + "," + proof + "," + proof, sasl.ErrSyntax},
		{"no header", nonce + "," + proof, sasl.ErrSyntax},
		{"header that is no base64", "c=biw," + nonce + "," + proof, sasl.ErrSyntax},
		{"header with a line end", "c=bi\nws," + nonce + "," + proof, sasl.ErrSyntax},
		{"no nonce", "c=biws," + proof, sasl.ErrSyntax},
		{"mandatory extension", "c=biws," + nonce + ",m=1," + proof, sasl.ErrSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, _ := vectorServerSide(t).Begin("SCRAM-SHA-256")
			if _, _, err := d.Next([]byte(vectorFirst)); err != nil {
				t.Fatal(err)
			}
			challenge, done, err := d.Next([]byte(c.message))
			if !errors.Is(err, c.want) || done || (err == nil) != (string(challenge) == vectorProof) {
				t.Fatalf("%q, %v, %v; want %v", challenge, done, err, c.want)
			}
			if err == nil {
				return
			}
			if _, done, err := d.Next([]byte{}); done || err == nil {
				t.Error("a failed exchange goes on")
			}
		})
	}
}

func TestScramEndsWithAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	d, _ := vectorServerSide(t).Begin("SCRAM-SHA-256")
	for _, answer := range []string{vectorFirst, vectorFinal} {
		if _, _, err := d.Next([]byte(answer)); err != nil {
			t.Fatal(err)
		}
	}
	if _, done, err := d.Next([]byte("x")); done || !errors.Is(err, sasl.ErrSyntax) {
		t.Errorf("%v %v", done, err)
	}
}

// A recorded proof is worth nothing to a server with another nonce.
func TestScramReplay(t *testing.T) {
	t.Parallel()
	s := vectorServerSide(t)
	s.Nonce = nil
	d, _ := s.Begin("SCRAM-SHA-256")
	challenge, _, err := d.Next([]byte(vectorFirst))
	if err != nil || string(challenge) == vectorServer {
		t.Fatalf("%q %v", challenge, err)
	}
	nonce, _, _ := strings.Cut(string(challenge), ",")
	_, proof, _ := strings.Cut(vectorFinal, ",p=")
	if _, _, err = d.Next([]byte("c=biws," + nonce + ",p=" + proof)); !errors.Is(err, sasl.ErrCredentials) {
		t.Errorf("%v", err)
	}
}

func TestScramBindings(t *testing.T) {
	t.Parallel()
	both := sasl.Binding{Exporter: []byte("of this connection"), EndPoint: []byte("of this certificate")}
	for _, c := range []struct {
		name           string
		server, client sasl.Binding
		want           error
	}{
		{"both", both, both, nil},
		{"the end point alone", sasl.Binding{EndPoint: both.EndPoint}, sasl.Binding{EndPoint: both.EndPoint}, nil},
		{"a client that knows the end point", both, sasl.Binding{EndPoint: both.EndPoint}, nil},
		{"another connection", both, sasl.Binding{Exporter: []byte("of a man in between")}, sasl.ErrBinding},
		{"another certificate", both, sasl.Binding{EndPoint: []byte("of a man in between")}, sasl.ErrBinding},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serverOf("taro", verifierOf(t, "pencil", 4))
			s.Binding = c.server
			got, err := login(t, s, "SCRAM-SHA-256-PLUS", sasl.ClientCredentials{User: "taro", Password: "pencil", Binding: c.client})
			if !errors.Is(err, c.want) || (err == nil && got != sasl.Proven{User: "taro", ID: 4}) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A client whose list of mechanisms was cut says so, and the server notices.
func TestScramDowngrade(t *testing.T) {
	t.Parallel()
	s := serverOf("taro", verifierOf(t, "pencil", 0))
	s.Binding = sasl.Binding{Exporter: []byte("of this connection")}
	c := sasl.ClientCredentials{User: "taro", Password: "pencil", Binding: s.Binding, Offered: []string{"SCRAM-SHA-256"}}
	if _, err := login(t, s, "SCRAM-SHA-256", c); !errors.Is(err, sasl.ErrDowngrade) {
		t.Errorf("%v", err)
	}
	s.Binding = sasl.Binding{}
	if _, err := login(t, s, "SCRAM-SHA-256", c); err != nil {
		t.Errorf("nothing was taken away: %v", err)
	}
}

func TestScramWithSeveralVerifiers(t *testing.T) {
	t.Parallel()
	other, err := sasl.Derive("other salt", []byte("another salt"), sasl.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	s := serverOf("taro", verifierOf(t, "phone", 10), other, verifierOf(t, "laptop", 20), verifierOf(t, "printer", 30))
	for password, id := range map[string]int64{"phone": 10, "laptop": 20, "printer": 30} {
		got, err := login(t, s, "SCRAM-SHA-256", sasl.ClientCredentials{User: "taro", Password: password})
		if err != nil || got != (sasl.Proven{User: "taro", ID: id}) {
			t.Errorf("%s: %+v, %v", password, got, err)
		}
	}
	for _, password := range []string{"tablet", "other salt", "Phone", "phone "} {
		if got, err := login(t, s, "SCRAM-SHA-256", sasl.ClientCredentials{User: "taro", Password: password}); !errors.Is(err, sasl.ErrCredentials) {
			t.Errorf("%s: %+v, %v", password, got, err)
		}
	}
}

// What a stranger sees of a user who is not there has the shape of one who is,
// and does not change from one try to the next.
func TestScramUnknownUser(t *testing.T) {
	t.Parallel()
	v, err := sasl.Derive("pencil", sasl.NewSalt(), sasl.Iterations)
	if err != nil {
		t.Fatal(err)
	}
	s := serverOf("taro", v)
	shape := regexp.MustCompile(fmt.Sprintf(`^r=abc[A-Z2-7]{26},(s=[A-Za-z0-9+/]{22}==,i=%d)$`, sasl.Iterations))
	salts := map[string]string{}
	for _, user := range []string{"taro", "hanako", "Hanako", "jiro", "taro", "hanako", "jiro"} {
		d, _ := s.Begin("SCRAM-SHA-256")
		challenge, done, err := d.Next([]byte("n,,n=" + user + ",r=abc"))
		found := shape.FindStringSubmatch(string(challenge))
		if err != nil || done || found == nil || d.Claimed() != user {
			t.Fatalf("%s: %q %v", user, challenge, err)
		}
		key := strings.ToLower(user)
		if before := salts[key]; before != "" && before != found[1] {
			t.Errorf("%s: %s, then %s", user, before, found[1])
		}
		salts[key] = found[1]
		nonce, _, _ := strings.Cut(string(challenge), ",")
		_, _, err = d.Next([]byte("c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))))
		if !errors.Is(err, sasl.ErrCredentials) || err.Error() != sasl.ErrCredentials.Error() {
			t.Errorf("%s: %v", user, err)
		}
	}
	if salts["hanako"] == salts["jiro"] {
		t.Error("two users share a salt")
	}
	s.Secret = []byte("of another server")
	d, _ := s.Begin("SCRAM-SHA-256")
	if challenge, _, _ := d.Next([]byte("n,,n=jiro,r=abc")); strings.Contains(string(challenge), salts["jiro"]) {
		t.Error("the salt does not depend on the secret")
	}
}

func TestScramKey(t *testing.T) {
	t.Parallel()
	s := serverOf("nobody")
	s.Key = func(user string) string { name, _, _ := strings.Cut(user, "+"); return name }
	var salts []string
	for _, user := range []string{"taro", "taro+list", "jiro"} {
		d, _ := s.Begin("SCRAM-SHA-256")
		challenge, _, err := d.Next([]byte("n,,n=" + user + ",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, salt, _ := strings.Cut(string(challenge), ",")
		salts = append(salts, salt)
	}
	if salts[0] != salts[1] || salts[0] == salts[2] {
		t.Errorf("%q", salts)
	}
}

func TestScramLookupFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the database is away")
	s := serverOf("taro", sasl.Verifier{Salt: []byte("salt"), Iterations: 1})
	d, _ := s.Begin("SCRAM-SHA-256")
	if _, _, err := d.Next([]byte("n,,n=taro,r=abc")); !errors.Is(err, sasl.ErrVerifier) {
		t.Errorf("%v", err)
	}
	s.Verifiers = func(string) ([]sasl.Verifier, error) { return nil, broken }
	d, _ = s.Begin("SCRAM-SHA-256")
	if _, _, err := d.Next([]byte("n,,n=taro,r=abc")); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestScramClientDistrustsServers(t *testing.T) {
	t.Parallel()
	const nonce = "r=rOprNGfwEbeRWgbNEkqOmore"
	for _, c := range []struct {
		name       string
		challenges []string
		want       error
	}{
		{"a challenge before the first answer", []string{"hello"}, sasl.ErrChallenge},
		{"nothing", []string{"", ""}, sasl.ErrChallenge},
		{"another nonce", []string{"", "r=other,s=AAAA,i=4096"}, sasl.ErrChallenge},
		{"nothing added to the nonce", []string{"", "r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096"}, sasl.ErrChallenge},
		{"mandatory extension", []string{"", "m=x," + nonce + ",s=AAAA,i=4096"}, sasl.ErrChallenge},
		{"no salt", []string{"", nonce + ",s=,i=4096"}, sasl.ErrChallenge},
		{"salt that is no base64", []string{"", nonce + ",s=AAA,i=4096"}, sasl.ErrChallenge},
		{"few iterations", []string{"", nonce + ",s=AAAA,i=4095"}, sasl.ErrChallenge},
		{"many iterations", []string{"", nonce + ",s=AAAA,i=1048577"}, sasl.ErrChallenge},
		{"iterations beyond numbers", []string{"", nonce + ",s=AAAA,i=99999999999999999999"}, sasl.ErrChallenge},
		{"iterations with a zero", []string{"", nonce + ",s=AAAA,i=04096"}, sasl.ErrChallenge},
		{"iterations with a sign", []string{"", nonce + ",s=AAAA,i=+4096"}, sasl.ErrChallenge},
		{"long", []string{"", nonce + ",s=AAAA,i=4096,x=" + strings.Repeat("x", sasl.MaxLine)}, sasl.ErrChallenge},
		{"refusal", []string{"", vectorServer, "e=invalid-proof"}, sasl.ErrRefused},
		{"wrong signature", []string{"", vectorServer, "v=AAAA"}, sasl.ErrServer},
		{"no signature", []string{"", vectorServer, ""}, sasl.ErrChallenge},
		{"signature that is no base64", []string{"", vectorServer, "v=AAA"}, sasl.ErrChallenge},
		{"one question too many", []string{"", vectorServer, vectorProof, ""}, sasl.ErrChallenge},
		{"all in order", []string{"", vectorServer, vectorProof}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client, _ := sasl.NewClient("SCRAM-SHA-256", sasl.ClientCredentials{
				User: "user", Password: "pencil", Nonce: func() string { return "rOprNGfwEbeRWgbNEkqO" },
			})
			var done bool
			var err error
			for i, challenge := range c.challenges {
				if err != nil {
					t.Fatalf("stopped before challenge %d: %v", i, err)
				}
				_, done, err = client.Next([]byte(challenge))
			}
			if !errors.Is(err, c.want) || done != (c.want == nil) {
				t.Errorf("%v, %v; want %v", done, err, c.want)
			}
		})
	}
}

func TestServerMechanisms(t *testing.T) {
	t.Parallel()
	s := serverOf("taro")
	s.Passwords, s.External, s.Binding = true, named("taro"), sasl.Binding{EndPoint: []byte("x")}
	s.Token = func(sasl.Bearer) (string, error) { return "", nil }
	all := []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "EXTERNAL", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"}
	if got := s.Mechanisms(); !slices.Equal(got, all) {
		t.Errorf("%q", got)
	}
	noSecret := s
	noSecret.Secret, noSecret.Binding = nil, sasl.Binding{}
	if got := noSecret.Mechanisms(); !slices.Equal(got, all[2:]) {
		t.Errorf("%q", got)
	}
	for _, name := range all {
		if _, ok := (sasl.Server{}).Begin(name); ok {
			t.Errorf("an empty server has %s", name)
		}
	}
	if _, ok := s.Begin("CRAM-MD5"); ok {
		t.Error("CRAM-MD5 is known")
	}
}
