package intake

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestRuler(t *testing.T) {
	t.Parallel()
	line := func(n int) string { return strings.Repeat("x", n) + "\r\n" }
	for in, want := range map[string]bool{
		"":                                    false,
		line(998):                             false,
		line(999):                             true,
		line(0) + line(998) + line(998):       false,
		line(10) + line(999):                  true,
		strings.Repeat("x", 1000):             true,
		strings.Repeat("x", 999):              false,
		strings.Repeat(line(60), 100):         false,
		strings.Repeat(line(998), 3) + "x":    false,
		line(997) + line(1000) + line(1):      true,
		strings.Repeat("\r\n", 3000):          false,
		strings.Repeat(line(70), 20) + "\r\n": false,
	} {
		for range 50 {
			var r ruler
			for rest := in; rest != ""; {
				n := 1 + rand.IntN(min(len(rest), 1500))
				r.measure([]byte(rest[:n]))
				rest = rest[n:]
			}
			if r.long != want {
				t.Errorf("%d octets, first line %d: %v", len(in), strings.IndexByte(in, '\n'), r.long)
			}
		}
	}
}

func BenchmarkRuler(b *testing.B) {
	mail := []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", 70))
	b.SetBytes(int64(len(mail)))
	for b.Loop() {
		var r ruler
		r.measure(mail)
	}
}
