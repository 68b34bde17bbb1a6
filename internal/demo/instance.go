package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hayauma/hayauma/internal/certs"
)

// instance is one server: a process of the binary with a folder of its own.
type instance struct {
	show     *show
	domain   string
	hostname string
	address  string
	ports    ports
	dir      string
	config   string

	process *exec.Cmd
	log     *os.File
	ended   chan error
}

// user is somebody with an account.
type user struct {
	home     *instance
	address  string
	password string
}

func newInstance(s *show, domain, address string, p ports) *instance {
	dir := filepath.Join(s.dir, domain)
	return &instance{
		show: s, domain: domain, hostname: "mx." + domain, address: address, ports: p,
		dir: dir, config: filepath.Join(dir, "hayauma.toml"),
	}
}

func (i *instance) user(name string) user {
	return user{home: i, address: name + "@" + i.domain, password: rand.Text()}
}

// settings are those of one server. Both use the same ports on addresses of
// their own, so that one outbound port fits both.
func (i *instance) settings(resolver string) string {
	at := func(port int) string { return fmt.Sprintf(`["%s:%d"]`, i.address, port) }
	return fmt.Sprintf(`hostname = %q
data_dir = "data"
[listen]
smtp = %s
submission = %s
submissions = []
imap = []
imaps = %s
pop3 = []
pop3s = %s
http = []
[dns]
resolver = %q
[outbound]
port = %d
[storage]
min_free = "1MB"
`, i.hostname, at(i.ports.smtp), at(i.ports.submission), at(i.ports.imaps), at(i.ports.pop3s), resolver, i.ports.smtp)
}

// start makes the folder and runs the server until it is ready.
func (i *instance) start(ctx context.Context, resolver string) error {
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(i.config, []byte(i.settings(resolver)), 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(i.dir, "log"))
	if err != nil {
		return err
	}
	i.log = log
	// Not bound to ctx: stop ends the server in its own way.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), i.show.Program, "serve", "--config", i.config)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", i.hostname, err)
	}
	i.process, i.ended = cmd, make(chan error, 1)
	ready := make(chan struct{})
	go i.watch(out, ready)
	limit := time.NewTimer(stepPatience)
	defer limit.Stop()
	select {
	case <-ready:
	case err := <-i.ended:
		i.ended <- err
		return fmt.Errorf("%s ended instead of getting ready (%w)\n%s", i.hostname, errOr(err), i.logText())
	case <-limit.C:
		return fmt.Errorf("%s was not ready within %v\n%s", i.hostname, stepPatience, i.logText())
	case <-ctx.Done():
		return ctx.Err()
	}
	i.show.say("== %s is ready on %s (submission %d, smtp %d, imaps %d, pop3s %d)", i.hostname, i.address,
		i.ports.submission, i.ports.smtp, i.ports.imaps, i.ports.pop3s)
	return nil
}

// watch waits for the line "ready" and for the end of the process.
func (i *instance) watch(out io.Reader, ready chan<- struct{}) {
	lines := bufio.NewScanner(out)
	for said := false; lines.Scan(); {
		if lines.Text() == "ready" && !said {
			said = true
			close(ready)
		}
	}
	_, _ = io.Copy(io.Discard, out) // after a line too long to scan
	i.ended <- i.process.Wait()
}

func errOr(err error) error {
	if err == nil {
		return errors.New("exit code 0")
	}
	return err
}

// logText is the end of the server's log.
func (i *instance) logText() string {
	const most = 4000
	text, err := os.ReadFile(filepath.Join(i.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// stop asks the server to end, and ends it if it stays.
func (i *instance) stop() (err error) {
	if i.log != nil {
		defer func() { err = errors.Join(err, i.log.Close()) }()
	}
	if i.process == nil {
		return nil
	}
	_ = i.process.Process.Signal(syscall.SIGTERM) // fails only if it has ended already
	limit := time.NewTimer(stepPatience)
	defer limit.Stop()
	select {
	case err = <-i.ended:
	case <-limit.C:
		_ = i.process.Process.Kill() // as above
		err = errors.Join(fmt.Errorf("it was still there %v after SIGTERM", stepPatience), <-i.ended)
	}
	i.process = nil
	if err != nil {
		return fmt.Errorf("end %s: %w", i.hostname, err)
	}
	return nil
}

// command runs one command of the binary against this server.
func (i *instance) command(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, i.show.Program, append(args, "--config", i.config)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("hayauma %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// addAccount makes the domain and the account through the command line.
func (i *instance) addAccount(ctx context.Context, u user) error {
	domains, err := i.command(ctx, "", "domain", "list")
	if err != nil {
		return err
	}
	if !strings.Contains(domains, i.domain) {
		if _, err := i.command(ctx, "", "domain", "add", i.domain); err != nil {
			return err
		}
	}
	said, err := i.command(ctx, u.password+"\n", "account", "add", u.address, "--password-stdin")
	if err == nil {
		i.show.say("== %s: %s", i.hostname, strings.TrimSpace(said))
	}
	return err
}

// trace returns a message's timeline once it holds a stage.
func (i *instance) trace(ctx context.Context, messageID, until string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		text, err := i.command(ctx, "", "trace", messageID)
		if err != nil {
			return "", err
		}
		if strings.Contains(text, "  "+until+" ") {
			return text, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return "", fmt.Errorf("the timeline of %s at %s does not tell that it was %s:\n%s", messageID, i.hostname, until, text)
		}
	}
}

// tls trusts the server's own CA, under the server's own name.
func (i *instance) tls() (*tls.Config, error) {
	text, err := os.ReadFile(certs.CAFile(filepath.Join(i.dir, "data")))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the CA file holds no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: i.hostname, MinVersion: tls.VersionTLS12}, nil
}

// dial connects to a port. The deadline is that of the whole conversation.
func (i *instance) dial(ctx context.Context, port int, encrypted bool) (net.Conn, error) {
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", fmt.Sprintf("%s:%d", i.address, port))
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(stepPatience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if !encrypted {
		return conn, nil
	}
	trust, err := i.tls()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secure := tls.Client(conn, trust)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secure, nil
}
