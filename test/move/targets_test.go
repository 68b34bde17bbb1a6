package move

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// target is a pair of engines other than the embedded ones. start starts them and
// returns lines of [storage] that name them, and what fails the test unless the
// bodies are really there.
type target struct {
	name  string
	start func(*testing.T) (engines string, inUse func(*testing.T))
}

func targets() []target {
	return []target{{"postgres", inPostgres}, {"s3", inBucket}}
}

// inPostgres keeps rows and bodies in PostgreSQL.
func inPostgres(t *testing.T) (string, func(*testing.T)) {
	t.Helper()
	at := testkit.NewPostgres(t).URL("")
	return fmt.Sprintf("database = %q\nbodies = \"postgres\"\n", at), func(t *testing.T) {
		t.Helper()
		if n, err := testkit.Psql(t.Context(), at, "SELECT count(*) FROM body"); err != nil || n == "0" {
			t.Errorf("the database holds %q bodies, %v", n, err)
		}
	}
}

// inBucket keeps rows in PostgreSQL and bodies in a bucket, under a prefix.
func inBucket(t *testing.T) (string, func(*testing.T)) {
	t.Helper()
	const prefix = "hayauma/one"
	s := testkit.NewS3(t)
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(s.AccessKey+"\n"+s.SecretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := fmt.Sprintf("database = %q\nbodies = \"s3://%s/%s?endpoint=http://%s&region=%s\"\nbodies_key_file = %q\n",
		testkit.NewPostgres(t).URL(""), s.Bucket, prefix, s.Endpoint, s.Region, keys)
	return lines, func(t *testing.T) {
		t.Helper()
		if objects, err := s.Keys(prefix + "/"); err != nil || len(objects) == 0 {
			t.Errorf("the bucket holds %d objects, %v", len(objects), err)
		}
	}
}
