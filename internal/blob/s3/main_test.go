package s3

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/testkit"
)

// shared is the server of all tests that do not stop theirs; each uses a prefix
// of its own.
var shared *testkit.S3

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	for range 5 {
		addr, err := freeAddr(ctx)
		if err == nil {
			shared, err = testkit.StartS3(ctx, addr)
		}
		if err == nil {
			break
		}
		fmt.Fprintln(os.Stderr, err) // each test says for itself that it is skipped
	}
	code := m.Run()
	if shared != nil {
		if err := shared.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

func freeAddr(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func server(t testing.TB) *testkit.S3 {
	t.Helper()
	if shared == nil {
		return testkit.NewS3(t)
	}
	return shared
}
