package intake_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/test/stack"
)

// BenchmarkWrite takes contents up to their commit, as the doors hand them on.
func BenchmarkWrite(b *testing.B) {
	s := stack.New(b, stack.Options{})
	alice := s.Account("alice@hayauma.test", 0)
	o := mail.Origin{Door: mail.DoorSubmission, Account: alice.ID, Login: alice.Address, Protocol: "ESMTPSA"}
	for _, size := range []int{5 << 10, 500 << 10} {
		content := []byte(hello + strings.Repeat(strings.Repeat("seven bits are enough ", 3)+"\r\n", size/68))
		b.Run(fmt.Sprintf("%d kB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				tx := s.Intake.Begin(o, mail.Envelope{From: alice.Address})
				for rest := content; len(rest) > 0; {
					n := min(len(rest), 32<<10)
					if _, err := tx.Write(rest[:n]); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				tx.Abort()
			}
		})
	}
}
