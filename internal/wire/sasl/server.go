package sasl

import "strings"

// Server is what our side knows when an exchange begins. A mechanism whose
// fields are empty is neither announced nor known.
type Server struct {
	// Passwords offers PLAIN and LOGIN.
	Passwords bool

	// Verifiers gives what SCRAM may prove a user with, or nothing for a user
	// who is not there. Their salt and iterations must be the same: SCRAM says
	// them before it sees a proof. Those that differ from the first are passed
	// over. Needs Secret.
	Verifiers func(user string) ([]Verifier, error)
	// Iterations gives the cost of a user who is not there, whose draw is the same each
	// time, evenly spread over all: like the costs of those who are. nil = Iterations.
	Iterations func(draw uint32) (int, error)
	// Secret makes the salts of users who are not there. It must stay the same
	// over restarts and on all nodes: a salt that changes tells them apart.
	Secret []byte
	// Key brings a user name to the form that users are looked up by, so that
	// all spellings of one unknown user get one salt, as those of a known user
	// do. Nil folds case only.
	Key func(user string) string
	// Binding offers -PLUS. It belongs to one TLS connection.
	Binding Binding

	// Token checks a bearer token and says whose it is: ErrCredentials if it is
	// wrong, or empty: a client without one wants our reasons, to learn where to
	// get one (RFC 7628 §3.2.2). It offers OAUTHBEARER and XOAUTH2.
	Token func(Bearer) (user string, err error)
	// Scope and Discovery tell a client whose token is refused what to ask for,
	// and the address of the OpenID configuration that says where.
	Scope, Discovery string

	// External says whom the client's certificate names: the user that the client asks to
	// be, or where he names none the certificate's own choice; ErrAuthzid if it does not
	// name him. It offers EXTERNAL.
	External func(authzid string) (user string, err error)

	// Nonce replaces random nonces in tests.
	Nonce func() string
}

// Dialogue is one run of a mechanism, fed with each decoded answer.
type Dialogue interface {
	// Next takes an answer, nil before the first, and gives the next
	// challenge, or done. Errors that are not of this package come from the
	// functions of Server.
	Next(answer []byte) (challenge []byte, done bool, err error)
	// Claimed is the user that the client named so far, proven or not.
	Claimed() string
	// Outcome is valid once Next said done.
	Outcome() Outcome
}

// Outcome is what a dialogue ends in: Credentials, Proven, Bearer or External.
type Outcome interface{ outcome() }

// Proven is a user whose password SCRAM has proven, and the ID of the verifier
// that matched.
type Proven struct {
	User string
	ID   int64
}

// Bearer is a token, and where the client says it is going with it. Once
// accepted, User is whom Server.Token named.
type Bearer struct {
	User, Token, Host string
	Port              int // 0 if the client said none
}

// External is a user whom TLS has proven.
type External struct{ User string }

func (Credentials) outcome() {}
func (Proven) outcome()      {}
func (Bearer) outcome()      {}
func (External) outcome()    {}

// mechanism is a row of what a server offers.
type mechanism struct {
	name    string
	offered bool
	begin   func() Dialogue
}

// table lists the mechanisms, strongest first.
func (s Server) table() []mechanism {
	verifiers, token := s.Verifiers != nil && len(s.Secret) > 0, s.Token != nil
	return []mechanism{
		{scramPlus, verifiers && s.Binding.present(), func() Dialogue { return &scramServer{server: s, plus: true} }},
		{scram, verifiers, func() Dialogue { return &scramServer{server: s} }},
		{"EXTERNAL", s.External != nil, func() Dialogue { return &external{server: s} }},
		{"OAUTHBEARER", token, func() Dialogue { return &bearer{server: s, parse: parseOAuthBearer, status: "invalid_token"} }},
		{"XOAUTH2", token, func() Dialogue { return &bearer{server: s, parse: parseXOAuth2, status: "401"} }},
		{"PLAIN", s.Passwords, func() Dialogue { return &plain{} }},
		{"LOGIN", s.Passwords, func() Dialogue { return &login{} }},
	}
}

// Mechanisms are the names to announce, strongest first.
func (s Server) Mechanisms() []string {
	var names []string
	for _, m := range s.table() {
		if m.offered {
			names = append(names, m.name)
		}
	}
	return names
}

// Begin starts a dialogue; false if the mechanism is not offered.
func (s Server) Begin(name string) (Dialogue, bool) {
	for _, m := range s.table() {
		if m.offered && strings.EqualFold(m.name, name) {
			return &guard{Dialogue: m.begin()}, true
		}
	}
	return nil, false
}

// guard keeps answers short, and a dialogue that has ended from going on.
type guard struct {
	Dialogue
	over bool
}

func (g *guard) Next(answer []byte) ([]byte, bool, error) {
	if g.over || len(answer) > MaxLine {
		g.over = true
		return nil, false, ErrSyntax
	}
	challenge, done, err := g.Dialogue.Next(answer)
	g.over = done || err != nil
	return challenge, done, err
}
