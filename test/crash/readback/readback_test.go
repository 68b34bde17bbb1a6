package readback

import (
	"bytes"
	"errors"
	"testing"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	m := Compose("<1@example.test>", "a@example.test", 3000)
	stored := append([]byte("Return-Path: <a@example.test>\r\nReceived: from x\r\n\tby y\r\n"), m...)
	if id, err := Verify(stored); id != "<1@example.test>" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	if len(m) < 3000 || len(m) > 3300 {
		t.Errorf("%d octets", len(m))
	}
	for _, torn := range [][]byte{
		stored[:len(stored)-1], append(bytes.Clone(stored), 0), append(bytes.Clone(stored[:2000]), make([]byte, len(stored)-2000)...),
	} {
		if _, err := Verify(torn); !errors.Is(err, ErrTorn) {
			t.Errorf("a torn message passes: %v", err)
		}
	}
	if _, err := Verify([]byte("Subject: x\r\n\r\nX-Proof: 1\r\n")); !errors.Is(err, ErrForeign) {
		t.Errorf("a message without proof: %v", err)
	}
	if bytes.Equal(Compose("<2@example.test>", "a@example.test", 3000)[100:], m[100:]) {
		t.Error("two messages with one content")
	}
}
