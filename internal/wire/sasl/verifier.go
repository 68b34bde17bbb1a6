package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/stringprep"
)

// Costs and sizes of a verifier.
const (
	// Iterations is what new verifiers have, and those of users who are not
	// there unless Server.Iterations says otherwise. It stays below 65536, the limit in Cyrus SASL. For passwords that
	// people choose it is weaker than argon2id: prefer passwords that we make.
	Iterations = 32768
	// MinIterations is what RFC 7677 §4 asks for at least.
	MinIterations = 4096
	// MaxIterations bounds what a server can make a client compute.
	MaxIterations = 1 << 20
	// SaltSize is the size of a new salt.
	SaltSize = 16

	maxSalt = 256
)

// Errors of verifiers.
var (
	ErrPrepare  = errors.New("the text holds what SASLprep forbids, or nothing")
	ErrVerifier = errors.New("the verifier is malformed or out of bounds")
)

// Verifier is what SCRAM-SHA-256 stores of a password (RFC 5802 §3). It proves
// the password, and does not let its holder log in elsewhere.
type Verifier struct {
	// ID is the caller's own number for it, which Proven hands back. It is not
	// part of the text form.
	ID int64

	Salt                 []byte
	Iterations           int
	StoredKey, ServerKey [sha256.Size]byte
}

// NewSalt makes the salt of one account: all its verifiers share it.
func NewSalt() []byte {
	salt := make([]byte, SaltSize)
	// crypto/rand never fails: it ends the process instead.
	_, _ = rand.Read(salt)
	return salt
}

// Derive makes the verifier of a password.
func Derive(password string, salt []byte, iterations int) (Verifier, error) {
	if !bounded(salt, iterations) {
		return Verifier{}, ErrVerifier
	}
	salted, err := saltedPassword(password, salt, iterations)
	if err != nil {
		return Verifier{}, err
	}
	return Verifier{
		Salt: salt, Iterations: iterations,
		StoredKey: sha256.Sum256(sum(salted, "Client Key")),
		ServerKey: [sha256.Size]byte(sum(salted, "Server Key")),
	}, nil
}

// Check says whether a password is the verifier's. It costs as much as Derive.
func (v Verifier) Check(password string) bool {
	got, err := Derive(password, v.Salt, v.Iterations)
	return err == nil && subtle.ConstantTimeCompare(got.StoredKey[:], v.StoredKey[:]) == 1
}

// String is the form to store (RFC 5803 §2), which PostgreSQL writes as well.
func (v Verifier) String() string {
	return fmt.Sprintf("%s$%d:%s$%s:%s", scram, v.Iterations, Encode(v.Salt), Encode(v.StoredKey[:]), Encode(v.ServerKey[:]))
}

// ParseVerifier reads the stored form.
func ParseVerifier(s string) (Verifier, error) {
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '$' || r == ':' })
	if len(parts) != 5 {
		return Verifier{}, ErrVerifier
	}
	var v Verifier
	v.Iterations, _ = strconv.Atoi(parts[1])
	salt, saltOK := decode64(parts[2])
	stored, storedOK := decode64(parts[3])
	server, serverOK := decode64(parts[4])
	if !saltOK || !storedOK || !serverOK || len(stored) != sha256.Size || len(server) != sha256.Size {
		return Verifier{}, ErrVerifier
	}
	v.Salt, v.StoredKey, v.ServerKey = salt, [sha256.Size]byte(stored), [sha256.Size]byte(server)
	// There is one spelling: what does not print as it came is malformed.
	if !bounded(v.Salt, v.Iterations) || v.String() != s {
		return Verifier{}, ErrVerifier
	}
	return v, nil
}

func bounded(salt []byte, iterations int) bool {
	return len(salt) > 0 && len(salt) <= maxSalt && iterations >= MinIterations && iterations <= MaxIterations
}

// saltedPassword is Hi(Normalize(password), salt, i) of RFC 5802 §3.
func saltedPassword(password string, salt []byte, iterations int) ([]byte, error) {
	password, err := Prepare(password)
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
}

// Prepare is SASLprep (RFC 4013) for stored strings, as RFC 4616 §2 and RFC 5802 §2.2
// ask for; ErrPrepare if it forbids the text.
func Prepare(s string) (string, error) {
	out, err := stringprep.SASLprep.Prepare(s)
	// The library's error names a character of the password.
	if err != nil || out == "" {
		return "", ErrPrepare
	}
	return out, nil
}

func sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// decode64 reads base64 without leniency: there is one spelling.
func decode64(s string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil && !strings.ContainsAny(s, "\r\n")
}
