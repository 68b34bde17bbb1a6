package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"strings"
)

// scramServer is our side of SCRAM (RFC 5802 §5): two questions, then the
// signature, which the client answers with nothing since neither SMTP nor IMAP
// can send it along with success.
type scramServer struct {
	server Server
	plus   bool
	step   int

	user        string
	bare, first string // client-first-message-bare, server-first-message
	nonce       string
	binding     []byte // the cbind-input that the client has to repeat
	verifiers   []Verifier
	known       bool // false with a decoy
	id          int64
}

func (s *scramServer) Next(answer []byte) ([]byte, bool, error) {
	if answer == nil && s.step == 0 {
		return []byte{}, false, nil
	}
	s.step++
	switch s.step {
	case 1:
		challenge, err := s.begin(string(answer))
		return challenge, false, err
	case 2:
		challenge, err := s.prove(string(answer))
		return challenge, false, err
	}
	if len(answer) > 0 {
		return nil, false, ErrSyntax
	}
	return nil, true, nil
}

func (s *scramServer) Claimed() string { return s.user }

func (s *scramServer) Outcome() Outcome { return Proven{User: s.user, ID: s.id} }

// begin takes client-first-message and gives server-first-message.
func (s *scramServer) begin(message string) ([]byte, error) {
	f, err := parseClientFirst(message)
	if err != nil {
		return nil, err
	}
	if err = s.bind(f.header); err != nil {
		return nil, err
	}
	if s.user, err = Prepare(f.user); err != nil {
		return nil, ErrSyntax
	}
	if authzid := f.header.authzid; authzid != "" && !strings.EqualFold(authzid, f.user) {
		return nil, ErrAuthzid
	}
	if s.verifiers, s.known, err = s.server.candidates(s.user); err != nil {
		return nil, err
	}
	v := s.verifiers[0]
	s.nonce = f.nonce + nonce(s.server.Nonce)
	s.bare = f.bare
	s.first = serverFirst{nonce: s.nonce, salt: v.Salt, iterations: v.Iterations}.String()
	return []byte(s.first), nil
}

// bind checks what the client says about channel binding (RFC 5802 §6).
func (s *scramServer) bind(h gs2) error {
	switch {
	case h.flag == 'y' && s.server.Binding.present():
		return ErrDowngrade
	case (h.flag == 'p') != s.plus, s.plus && len(s.server.Binding.data(h.binding)) == 0:
		return ErrBinding
	}
	s.binding = s.server.Binding.input(h)
	return nil
}

// prove takes client-final-message and gives server-final-message. A wrong proof
// ends the exchange without one (RFC 5802 §5.1, "e").
func (s *scramServer) prove(message string) ([]byte, error) {
	f, err := parseClientFinal(message)
	if err != nil {
		return nil, err
	}
	if f.nonce != s.nonce {
		return nil, ErrCredentials
	}
	if !hmac.Equal(f.binding, s.binding) {
		return nil, ErrBinding
	}
	auth := authMessage(s.bare, s.first, f.withoutProof)
	v, ok := match(s.verifiers, auth, f.proof)
	if !ok || !s.known {
		return nil, ErrCredentials
	}
	s.id = v.ID
	return []byte("v=" + Encode(sum(v.ServerKey[:], auth))), nil
}

// match tries a proof against every verifier, in a time that does not depend on
// which of them it fits.
func match(all []Verifier, auth string, proof []byte) (Verifier, bool) {
	found := -1
	for i := range all {
		var clientKey [sha256.Size]byte
		subtle.XORBytes(clientKey[:], proof, sum(all[i].StoredKey[:], auth))
		stored := sha256.Sum256(clientKey[:])
		fits := subtle.ConstantTimeCompare(stored[:], all[i].StoredKey[:])
		found = subtle.ConstantTimeSelect(fits, i, found)
	}
	if found < 0 {
		return Verifier{}, false
	}
	return all[found], true
}

// candidates are the verifiers of a user that share the first one's salt, or a
// decoy, which no proof fits.
func (s Server) candidates(user string) (all []Verifier, known bool, err error) {
	stored, err := s.Verifiers(user)
	if err != nil {
		return nil, false, fmt.Errorf("looking for verifiers: %w", err)
	}
	if len(stored) == 0 {
		v, err := s.decoy(user)
		return []Verifier{v}, false, err
	}
	first := stored[0]
	if !bounded(first.Salt, first.Iterations) {
		return nil, false, ErrVerifier
	}
	for _, v := range stored {
		if v.Iterations == first.Iterations && bytes.Equal(v.Salt, first.Salt) {
			all = append(all, v)
		}
	}
	return all, true, nil
}

// decoy looks from outside like the verifier of a user who has a password: the
// same name has the same salt and cost each time.
func (s Server) decoy(user string) (Verifier, error) {
	key := s.Key
	if key == nil {
		key = strings.ToLower
	}
	name := key(user)
	v := Verifier{
		Salt:       sum(s.Secret, "scram salt\x00"+name)[:SaltSize],
		Iterations: Iterations,
		StoredKey:  [sha256.Size]byte(sum(s.Secret, "scram key\x00"+name)),
	}
	if s.Iterations == nil {
		return v, nil
	}
	var err error
	if v.Iterations, err = s.Iterations(binary.BigEndian.Uint32(sum(s.Secret, "scram cost\x00"+name))); err != nil {
		return v, fmt.Errorf("looking for the cost of verifiers: %w", err)
	}
	return v, nil
}
