package account

import (
	"errors"
	"strings"
	"testing"
)

// One password is the same from each keyboard (RFC 4616 §2): é in one character or in two,
// as macOS sends it.
func TestPasswordsArePrepared(t *testing.T) {
	t.Parallel()
	const composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
	l := newLogin()
	before := func(password string) string { // as hashes were made once
		salt := make([]byte, 16)
		return encodeHash(salt, derive(password, salt))
	}
	for _, c := range []struct {
		name, encoded, password string
		ok                      bool
	}{
		{"composed", hashPassword(composed), composed, true},
		{"composed, then decomposed", hashPassword(composed), decomposed, true},
		{"decomposed, then composed", hashPassword(decomposed), composed, true},
		{"decomposed", hashPassword(decomposed), decomposed, true},
		{"without the accent", hashPassword(composed), "cafe au lait", false},
		{"a wide space", hashPassword("umi\u3000to yama"), "umi to yama", true},
		{"an old hash, composed", before(composed), composed, true},
		{"an old hash, composed, then decomposed", before(composed), decomposed, true},
		{"an old hash, decomposed", before(decomposed), decomposed, true},
		{"what cannot be prepared", hashPassword("caf\u00e9\a au lait"), "caf\u00e9\a au lait", true},
		{"what cannot be prepared, decomposed", hashPassword("caf\u00e9\a au lait"), "cafe\u0301\a au lait", false},
		{"what is no text", hashPassword("\xff\xfe umi to"), "\xff\xfe umi to", true},
		{"what is no other text", hashPassword("\xff\xfe umi to"), "\xfe\xff umi to", false},
	} {
		for range 2 { // the second time from memory
			if ok, err := l.check(t.Context(), c.encoded, c.password); ok != c.ok || err != nil {
				t.Errorf("%s: %v, %v", c.name, ok, err)
			}
		}
	}
}

// What is kept is what must be long enough.
func TestShortPasswordsInWideLetters(t *testing.T) {
	t.Parallel()
	if err := checkPassword(strings.Repeat("\uff18", 3)); !errors.Is(err, ErrPassword) {
		t.Errorf("888 in wide digits: %v", err)
	}
	if err := checkPassword(strings.Repeat("\uff18", 8)); err != nil {
		t.Errorf("eight of them: %v", err)
	}
}
