package sasl

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Errors of the client's side.
var (
	ErrChallenge = errors.New("the server's challenge does not follow its mechanism")
	ErrServer    = errors.New("the server did not prove that it knows the password")
	ErrUnusable  = errors.New("the user, password or token cannot be said in this mechanism")
	ErrRefused   = errors.New("the server refuses the proof")
)

// ClientCredentials are what a client logs in with: a password, or a token, or
// neither, which leaves the certificate that it showed to TLS.
type ClientCredentials struct {
	User, Password string
	Token          string
	Host           string // where it logs in, for OAUTHBEARER
	Port           int
	// Binding allows -PLUS. It belongs to one TLS connection.
	Binding Binding
	// Offered are the mechanisms that the server announced.
	Offered []string
	// Nonce replaces random nonces in tests.
	Nonce func() string
}

// Client is the client's side of one run of a mechanism.
type Client interface {
	// Next takes a decoded challenge, nil before the first, and gives the
	// answer; nil is no answer, if the mechanism begins without. Done says
	// that the server's success may be believed from now on: before that it
	// has not proven itself. Next has to be called for every challenge,
	// those after done as well.
	Next(challenge []byte) (answer []byte, done bool, err error)
}

// clientMechanism is a row of what a client can do.
type clientMechanism struct {
	name  string
	fits  bool
	begin func() Client
}

// table lists the mechanisms in the order of preference.
func (c ClientCredentials) table() []clientMechanism {
	password, token := c.Password != "", c.Token != ""
	say := func(answers ...func() ([]byte, error)) func() Client {
		return func() Client { return &sayer{answers: answers} }
	}
	return []clientMechanism{
		{scramPlus, password && c.Binding.present(), func() Client { return &scramClient{c: c, plus: true} }},
		{scram, password, func() Client { return &scramClient{c: c} }},
		{"OAUTHBEARER", token, func() Client {
			return &bearerClient{c.oauthBearer(), parseOAuthBearer, Bearer{c.User, c.Token, c.Host, c.Port}, 0}
		}},
		{"XOAUTH2", token, func() Client {
			return &bearerClient{c.xoauth2(), parseXOAuth2, Bearer{User: c.User, Token: c.Token}, 0}
		}},
		{"EXTERNAL", !password && !token, say(func() ([]byte, error) { return []byte{}, nil })},
		{"PLAIN", password, say(c.plain)},
		{"LOGIN", password, say(nothing, text(c.User), text(c.Password))},
	}
}

// Choose is the best mechanism that the server offers for these credentials.
func (c ClientCredentials) Choose() (string, bool) {
	for _, m := range c.table() {
		if m.fits && c.Offers(m.name) {
			return m.name, true
		}
	}
	return "", false
}

// Offers tells whether the server announced a mechanism.
func (c ClientCredentials) Offers(name string) bool {
	return slices.ContainsFunc(c.Offered, func(o string) bool { return strings.EqualFold(o, name) })
}

// NewClient begins a run; false if the mechanism is unknown or not one for these
// credentials.
func NewClient(mechanism string, c ClientCredentials) (Client, bool) {
	for _, m := range c.table() {
		if m.fits && strings.EqualFold(m.name, mechanism) {
			return m.begin(), true
		}
	}
	return nil, false
}

// sayer is a mechanism whose answers do not depend on the challenges: PLAIN
// (RFC 4616), EXTERNAL (RFC 4422 appendix A) and LOGIN, whose servers do not
// agree on how to ask.
type sayer struct {
	answers []func() ([]byte, error)
	said    int
}

func (s *sayer) Next([]byte) ([]byte, bool, error) {
	if s.said == len(s.answers) {
		return nil, false, ErrChallenge
	}
	s.said++
	answer, err := s.answers[s.said-1]()
	return answer, err == nil && s.said == len(s.answers), err
}

func nothing() ([]byte, error) { return nil, nil }

// text is an answer of LOGIN.
func text(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), sayable(s) }
}

func (c ClientCredentials) plain() ([]byte, error) {
	err := errors.Join(sayable(c.User), sayable(c.Password))
	return []byte("\x00" + c.User + "\x00" + c.Password), err
}

// sayable refuses what our own server would.
func sayable(s string) error {
	if s == "" || !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		return ErrUnusable
	}
	return nil
}

// bearerClient says its token. A challenge after that is the server's reasons to
// refuse it, which it answers so that the failure can follow (RFC 7628 §3.2.3).
type bearerClient struct {
	message string
	parse   func(string) (Bearer, error)
	want    Bearer // what the message has to be read as
	step    int
}

func (b *bearerClient) Next([]byte) ([]byte, bool, error) {
	b.step++
	switch b.step {
	case 1:
		if said, err := b.parse(b.message); err != nil || said != b.want {
			return nil, false, ErrUnusable
		}
		return []byte(b.message), true, nil
	case 2:
		return []byte(kvsep), false, nil
	}
	return nil, false, ErrChallenge
}

func (c ClientCredentials) oauthBearer() string {
	message := "n,"
	if c.User != "" {
		message += "a=" + encodeName(c.User)
	}
	message += "," + kvsep
	if c.Host != "" {
		message += "host=" + c.Host + kvsep
	}
	if c.Port != 0 {
		message += "port=" + strconv.Itoa(c.Port) + kvsep
	}
	return message + "auth=Bearer " + c.Token + kvsep + kvsep
}

func (c ClientCredentials) xoauth2() string {
	return "user=" + c.User + kvsep + "auth=Bearer " + c.Token + kvsep + kvsep
}
