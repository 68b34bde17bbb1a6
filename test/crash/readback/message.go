// Package readback sends messages that prove themselves and reads a whole server back.
//
// It is for the proofs of durability: a message carries a checksum of itself, so
// that a torn one is seen wherever it is found.
package readback

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
)

// proofField is the first header field of a message: the checksum of all that
// follows its line. What servers add stands before it.
const proofField = "X-Proof: "

// Compose makes a message of about size octets. Its content depends on id, which
// is its Message-ID with angle brackets.
func Compose(id, from string, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%s>\r\nTo: undisclosed-recipients:;\r\nSubject: proof of %d octets\r\n"+
		"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: %s\r\n\r\n", from, size, id)
	seed := sha256.Sum256([]byte(id))
	rng := rand.NewChaCha8(seed)
	var noise [30]byte
	for b.Len() < size {
		_, _ = rng.Read(noise[:]) // never fails
		b.WriteString(hex.EncodeToString(noise[:]) + "\r\n")
	}
	sum := sha256.Sum256(b.Bytes())
	return append([]byte(proofField+hex.EncodeToString(sum[:])+"\r\n"), b.Bytes()...)
}

// ErrTorn says that a message is not what was sent.
var ErrTorn = errors.New("the message is not the one that was sent")

// ErrForeign says that a message was not made by Compose.
var ErrForeign = errors.New("the message carries no proof")

// Verify checks a message as it was read from a server and returns its
// Message-ID.
func Verify(message []byte) (string, error) {
	head, _, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	at := bytes.Index(append([]byte("\r\n"), head...), []byte("\r\n"+proofField))
	if at < 0 {
		return "", ErrForeign
	}
	sum, rest, _ := bytes.Cut(message[at+len(proofField):], []byte("\r\n"))
	if got := sha256.Sum256(rest); hex.EncodeToString(got[:]) != string(sum) {
		return Field(message, "Message-ID"), ErrTorn
	}
	return Field(rest, "Message-ID"), nil
}

// Field returns the value of the first header field with a name, empty if there
// is none.
func Field(message []byte, name string) string {
	for line := range strings.SplitSeq(string(message[:min(len(message), 64<<10)]), "\r\n") {
		if line == "" {
			return ""
		}
		if n, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
