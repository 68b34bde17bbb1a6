package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// S3Env names the variable with the path of the S3 server that tests start.
const S3Env = "HAYAUMA_S3_SERVER"

// s3Server is what the module in tools builds, and how it is named in bin.
const (
	s3Server  = "github.com/versity/versitygw/cmd/versitygw"
	s3Name    = "versitygw-v1.8.0"
	s3Region  = "us-east-1"
	s3Private = 0o700
)

// S3 is an S3 server of the test's own with one bucket, listening on loopback
// alone. Its objects are plain files.
type S3 struct {
	Endpoint             string // "127.0.0.1:port", without TLS
	Region, Bucket       string
	AccessKey, SecretKey string
	Dir                  string // the bucket's folder: a key is a path in it

	daemon
	bin string
}

// ErrNoS3 says that there is no S3 server to start.
var ErrNoS3 = errors.New("no S3 server: set " + S3Env + ", or let `go build -C tools` make bin/" + s3Name)

// StartS3 makes a server with an empty bucket and starts it. The caller ends it
// by Remove.
func StartS3(ctx context.Context, addr string) (_ *S3, err error) {
	bin, err := s3Bin(ctx)
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "hayauma-s3-")
	if err != nil {
		return nil, err
	}
	s := &S3{
		Endpoint: addr, Region: s3Region, Bucket: "mail", AccessKey: "test", SecretKey: rand.Text(),
		bin: bin, daemon: daemon{name: "the S3 server", root: root, log: filepath.Join(root, "log"), signal: signalOne},
	}
	s.Dir = filepath.Join(root, "data", s.Bucket)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Remove())
		}
	}()
	if err := os.MkdirAll(s.Dir, s3Private); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// s3Bin finds the server's program, or builds it once for this working tree.
func s3Bin(ctx context.Context) (string, error) {
	if path := os.Getenv(S3Env); path != "" {
		return seen(filepath.Abs(path))
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(root, "bin", "versitygw-v*"))
	if err == nil && len(found) > 0 {
		slices.Sort(found)
		return found[len(found)-1], nil
	}
	dir := filepath.Join(root, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// The rename keeps test processes that build at the same time from
	// starting half a file.
	fresh := filepath.Join(dir, fmt.Sprintf("building-%s-%d", s3Name, os.Getpid()))
	cmd := exec.CommandContext(ctx, "go", "build", "-C", "tools", "-trimpath", "-o", fresh, s3Server)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %w\n%s", ErrNoS3, err, out)
	}
	final := filepath.Join(dir, s3Name)
	return final, os.Rename(fresh, final)
}

// Start starts the server and waits until it answers.
func (s *S3) Start(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.bin, "--quiet", "--keep-alive",
		"--port", s.Endpoint, "--region", s.Region, "posix", filepath.Dir(s.Dir))
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKey, "ROOT_SECRET_ACCESS_KEY="+s.SecretKey)
	cmd.SysProcAttr = dieWithParent()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return s.launch(ctx, cmd, func(ctx context.Context) bool { return s.answers(ctx, client) })
}

func (s *S3) answers(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Endpoint+"/", nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil // that it refuses a request without a signature is an answer
}

// Stop ends the server as an administrator would.
func (s *S3) Stop() { s.end(syscall.SIGTERM) }

func signalOne(pid int, s syscall.Signal) { _ = syscall.Kill(pid, s) } // it may have ended by itself

// Keys lists the objects whose keys start with a prefix.
func (s *S3) Keys(prefix string) ([]string, error) {
	var keys []string
	err := filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(s.Dir, path)
		if key = filepath.ToSlash(key); err == nil && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
		return err
	})
	return keys, err
}

// NewS3 starts a server for a test.
func NewS3(t testing.TB) *S3 {
	t.Helper()
	s, err := StartS3(t.Context(), FreePort(t))
	if errors.Is(err, ErrNoS3) {
		missing(t, "%v", err)
	}
	if err != nil {
		t.Fatalf("start the S3 server: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Remove(); err != nil {
			t.Errorf("remove the S3 server: %v", err)
		}
	})
	return s
}

// URL is what storage.bodies of hayauma.toml says for a prefix in the bucket.
func (s *S3) URL(prefix string) string {
	return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=%s&tls=off", s.Bucket, prefix, s.Endpoint, s.Region)
}
