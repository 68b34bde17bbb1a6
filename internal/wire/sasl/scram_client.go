package sasl

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

// scramClient is the client's side of SCRAM (RFC 5802 §5).
type scramClient struct {
	c    ClientCredentials
	plus bool
	step int

	header      gs2
	nonce, bare string
	signature   []byte // what the server has to say
}

func (s *scramClient) Next(challenge []byte) ([]byte, bool, error) {
	s.step++
	if len(challenge) > MaxLine {
		return nil, false, ErrChallenge
	}
	switch s.step {
	case 1:
		if len(challenge) > 0 {
			return nil, false, ErrChallenge
		}
		answer, err := s.begin()
		return answer, false, err
	case 2:
		answer, err := s.prove(string(challenge))
		return answer, false, err
	case 3:
		if err := s.verify(string(challenge)); err != nil {
			return nil, false, err
		}
		return []byte{}, true, nil
	}
	return nil, false, ErrChallenge
}

// begin gives client-first-message.
func (s *scramClient) begin() ([]byte, error) {
	user, err := Prepare(s.c.User)
	if err != nil {
		return nil, err
	}
	s.header = s.gs2()
	s.nonce = nonce(s.c.Nonce)
	s.bare = "n=" + encodeName(user) + ",r=" + s.nonce
	return []byte(s.header.raw + s.bare), nil
}

// gs2 says how the exchange is bound (RFC 5802 §6). "y" is a promise that we
// saw the server's list without -PLUS, so it needs the list.
func (s *scramClient) gs2() gs2 {
	switch {
	case s.plus:
		kind := s.c.Binding.best()
		return gs2{raw: "p=" + kind + ",,", flag: 'p', binding: kind}
	case s.c.Binding.present() && len(s.c.Offered) > 0 && !s.c.Offers(scramPlus):
		return gs2{raw: "y,,", flag: 'y'}
	}
	return gs2{raw: "n,,", flag: 'n'}
}

// prove takes server-first-message and gives client-final-message.
func (s *scramClient) prove(first string) ([]byte, error) {
	f, err := parseServerFirst(first)
	if err != nil {
		return nil, err
	}
	// The server has to add to our nonce, or somebody replays it.
	if !strings.HasPrefix(f.nonce, s.nonce) || len(f.nonce) == len(s.nonce) {
		return nil, ErrChallenge
	}
	salted, err := saltedPassword(s.c.Password, f.salt, f.iterations)
	if err != nil {
		return nil, err
	}
	withoutProof := "c=" + Encode(s.c.Binding.input(s.header)) + ",r=" + f.nonce
	auth := authMessage(s.bare, first, withoutProof)
	clientKey := sum(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	proof := make([]byte, sha256.Size)
	subtle.XORBytes(proof, clientKey, sum(storedKey[:], auth))
	s.signature = sum(sum(salted, "Server Key"), auth)
	return []byte(withoutProof + ",p=" + Encode(proof)), nil
}

// verify takes server-final-message.
func (s *scramClient) verify(final string) error {
	if reason, refused := attributes(final, "e"); refused {
		return fmt.Errorf("%w: %q", ErrRefused, reason[0])
	}
	values, ok := attributes(final, "v")
	if !ok {
		return ErrChallenge
	}
	signature, ok := decode64(values[0])
	if !ok {
		return ErrChallenge
	}
	if !hmac.Equal(signature, s.signature) {
		return ErrServer
	}
	return nil
}
