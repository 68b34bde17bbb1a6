package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Postgres is a PostgreSQL server of the test's own, in a folder that its user
// can enter, listening on loopback alone. Its superuser is "postgres" and needs
// no password.
type Postgres struct {
	Addr string // "127.0.0.1:port"
	Dir  string // the data folder

	daemon
	settings []string
	bin      string
}

// StartPostgres makes a cluster and starts it. Settings are "name=value". The
// caller ends it by Remove.
func StartPostgres(ctx context.Context, addr string, settings ...string) (_ *Postgres, err error) {
	p, err := newPostgres(addr, settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Remove())
		}
	}()
	if err := p.run(ctx, "initdb", "-D", p.Dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		return nil, err
	}
	// Standbys and base backups come from this machine as well.
	hba := "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(p.Dir, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

// Standby makes a streaming standby of p and starts it. name is what
// synchronous_standby_names calls it.
func (p *Postgres) Standby(ctx context.Context, addr, name string) (_ *Postgres, err error) {
	s, err := newPostgres(addr, p.settings)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Remove())
		}
	}()
	host, port, _ := strings.Cut(p.Addr, ":")
	source := fmt.Sprintf("host=%s port=%s user=postgres application_name=%s", host, port, name)
	if err := s.run(ctx, "pg_basebackup", "-D", s.Dir, "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync"); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

func newPostgres(addr string, settings []string) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "hayauma-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{Addr: addr, Dir: filepath.Join(root, "data"), settings: settings, bin: bin, daemon: daemon{
		name: "the PostgreSQL server", root: root, log: filepath.Join(root, "log"), signal: signalPostgres,
	}}
	err = os.Mkdir(p.Dir, 0o700)
	if id, lerr := serverUser(); err == nil && lerr == nil && id != nil {
		err = errors.Join(os.Chown(root, int(id.Uid), int(id.Gid)), os.Chown(p.Dir, int(id.Uid), int(id.Gid)))
	} else if lerr != nil {
		err = lerr
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	return p, nil
}

// ErrNoPostgres says that the server's programs are not installed.
var ErrNoPostgres = errors.New("the programs of a PostgreSQL server (initdb, postgres) are not installed")

func postgresBin() (string, error) {
	// Debian keeps them out of PATH.
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err == nil && len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("initdb")
	if err == nil {
		path, err = filepath.EvalSymlinks(path) // its neighbours lie beside it
	}
	if err != nil {
		return "", ErrNoPostgres
	}
	return filepath.Dir(path), nil
}

// serverUser is whom the programs run as: they refuse root.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else is needed
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func (p *Postgres) command(ctx context.Context, program string, args ...string) (*exec.Cmd, error) {
	id, err := serverUser()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, program), args...)
	cmd.Dir = p.root
	cmd.SysProcAttr = dieWithParent()
	cmd.SysProcAttr.Credential = id
	return cmd, nil
}

func (p *Postgres) run(ctx context.Context, program string, args ...string) error {
	cmd, err := p.command(ctx, program, args...)
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// Start starts the server and waits until it takes connections.
func (p *Postgres) Start(ctx context.Context) error {
	for tries := 0; ; tries++ {
		err := p.start(ctx)
		// Processes of a server that was killed may take a moment to end, and one that
		// was just being born was not killed with it.
		if err == nil || tries == 100 || !strings.Contains(err.Error(), "shared memory block") {
			return err
		}
		p.killLeft()
		<-time.After(50 * time.Millisecond)
	}
}

// killLeft kills what is left of a server that has ended: each of its processes
// works in the folder of its data.
func (p *Postgres) killLeft() {
	folders, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return
	}
	for _, link := range folders {
		at, err := os.Readlink(link)
		pid, perr := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		if err == nil && perr == nil && at == p.Dir {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
		}
	}
}

func (p *Postgres) start(ctx context.Context) error {
	host, port, _ := strings.Cut(p.Addr, ":")
	args := []string{"-D", p.Dir, "-h", host, "-p", port, "-k", ""}
	for _, s := range append([]string{"max_connections=600", "shared_buffers=64MB", "log_min_messages=warning"}, p.settings...) {
		args = append(args, "-c", s)
	}
	cmd, err := p.command(context.WithoutCancel(ctx), "postgres", args...)
	if err != nil {
		return err
	}
	return p.launch(ctx, cmd, func(ctx context.Context) bool {
		return p.run(ctx, "pg_isready", "-q", "-h", host, "-p", port) == nil
	})
}

// Stop ends the server as an administrator would, its sessions at once.
func (p *Postgres) Stop() { p.end(syscall.SIGINT) }

// Signal sends a signal to all processes of the server, to stop and continue it.
func (p *Postgres) Signal(s syscall.Signal) { signalAll(p.cmd.Process.Pid, s) }

// signalPostgres kills all processes of a server; any other signal is for the
// first, which tells the others.
func signalPostgres(pid int, s syscall.Signal) {
	if s == syscall.SIGKILL {
		_ = syscall.Kill(pid, syscall.SIGSTOP) // no child is born while they are counted
		signalAll(pid, s)
		return
	}
	_ = syscall.Kill(pid, s) // it may have ended by itself
}

func signalAll(parent int, s syscall.Signal) {
	for _, pid := range append([]int{parent}, children(parent)...) {
		_ = syscall.Kill(pid, s) // it may have ended by itself
	}
}

// children are the processes that another one started.
func children(parent int) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid ...
		_, rest, _ := strings.Cut(string(b), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// URL is where a database of the server is reached. An empty name is the one
// that every cluster has.
func (p *Postgres) URL(database string) string { return PostgresURL(database, p.Addr) }

// PostgresURL is where a database of one of several servers is reached.
func PostgresURL(database string, addrs ...string) string {
	if database == "" {
		database = "postgres"
	}
	return "postgres://postgres@" + strings.Join(addrs, ",") + "/" + database + "?sslmode=disable"
}

// The environment by which a run of the tests is told to use other engines than
// the embedded ones: test/withengines starts them and sets it.
const (
	// PostgresEnv has the URL of a PostgreSQL database in which tests may make
	// schemas.
	PostgresEnv = "HAYAUMA_TEST_POSTGRES"
	// BodiesEnv has what storage.bodies of hayauma.toml shall be; "s3" is the
	// value of BucketEnv.
	BodiesEnv = "HAYAUMA_TEST_BODIES"
	// BucketEnv has the URL of a bucket, in which "*" stands for a prefix that no
	// other test uses.
	BucketEnv = "HAYAUMA_TEST_S3"
)

// StorageKeys returns lines for [storage] of hayauma.toml that name the engines
// of this run of the tests; none for the embedded ones. Each call is for a
// server of its own.
func StorageKeys(t testing.TB) string {
	t.Helper()
	at := os.Getenv(PostgresEnv)
	if at == "" {
		return ""
	}
	bodies := os.Getenv(BodiesEnv)
	if bodies == "s3" {
		bodies = strings.ReplaceAll(os.Getenv(BucketEnv), "*", strings.ToLower(rand.Text()))
	}
	return fmt.Sprintf("database = %q\nbodies = %q\n", NewSchema(t, at), bodies)
}

// Psql runs SQL at a URL and returns what it prints: fields joined by "|".
func Psql(ctx context.Context, at, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", at, "-c", sql)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// NewPostgres starts a server for a test.
func NewPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), FreePort(t), settings...)
	if errors.Is(err, ErrNoPostgres) {
		missing(t, "%v", err)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Remove(); err != nil {
			t.Errorf("remove the PostgreSQL server: %v", err)
		}
	})
	return p
}

// NewSchema makes an empty schema in the database at a URL, removed with the
// test, and returns a URL whose sessions work in it.
func NewSchema(t testing.TB, at string) string {
	t.Helper()
	name := "t" + strings.ToLower(rand.Text())
	if _, err := Psql(t.Context(), at, "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), daemonPatience)
		defer cancel()
		if _, err := Psql(ctx, at, "SET client_min_messages = error; DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Errorf("drop the schema: %v", err)
		}
	})
	u, err := url.Parse(at)
	if err != nil {
		// A URL with several hosts is none for the standard library.
		return at + "&search_path=" + name
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}
