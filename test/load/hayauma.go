package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// hayauma is an instance of the real binary, driven by its command line.
type hayauma struct {
	*process
	smtp, imap string
	conf, data string
}

type hayaumaSetup struct {
	program  string
	hold     bool
	resolver string // "127.0.0.1:port"
	remote   string // address of the next hop: its port is what all MXs get
	seed     string // data to begin with; empty = none
	storage  string // lines of [storage]
	pair     pair   // for STARTTLS; zero = its own
	env      []string
}

const (
	localDomain     = "local.test"
	remoteDomain    = "dest.test"
	hayaumaPassword = "one-load-password"
)

const hayaumaConf = `hostname = "mx.hayauma.test"
data_dir = %[1]q
[listen]
smtp = [%[2]q]
submission = []
submissions = []
lmtp = []
imap = [%[3]q]
imaps = []
pop3 = []
pop3s = []
http = []
https = []
[dns]
resolver = %[4]q
[auth]
allow_cleartext = true
[relay]
networks = ["127.0.0.0/8"]
[outbound]
port = %[5]s
ipv6 = false
[limits]
connections_per_address = 0
login_failures_per_address = 0
[queue]
hold = %[6]t
[storage]
%[7]s
[tls]
cert_file = %[8]q
key_file = %[9]q
`

// findHayauma takes the named program, else bin/hayauma, else this program itself
// if it is hayauma.
func findHayauma(named string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	if path, err := exec.LookPath("./bin/hayauma"); err == nil {
		return filepath.Abs(path)
	}
	self, err := os.Executable()
	if err == nil && filepath.Base(self) == "hayauma" {
		return self, nil
	}
	return findProgram("hayauma")
}

func startHayauma(ctx context.Context, dir string, setup hayaumaSetup) (*hayauma, error) {
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	h := &hayauma{smtp: ports[0], imap: ports[1]}
	port := "25"
	if setup.remote != "" {
		if _, port, err = net.SplitHostPort(setup.remote); err != nil {
			return nil, err
		}
	}
	data, conf := filepath.Join(dir, "data"), filepath.Join(dir, "hayauma.toml")
	h.data, h.conf = data, conf
	if setup.seed != "" {
		if err := runCommand(ctx, "", "cp", "-a", setup.seed, data); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf(hayaumaConf, data, h.smtp, h.imap, setup.resolver, port, setup.hold, setup.storage, setup.pair.cert, setup.pair.key)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if h.process, err = startProcess(ctx, launch{dir: dir, program: setup.program, args: []string{"serve", "--config", conf}, env: setup.env}); err != nil {
		return nil, err
	}
	if err := h.ready(ctx); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

// makeAccounts makes the local domain with its accounts and returns the folder of
// the data. No server runs: hashing passwords leaves nothing in its memory.
func makeAccounts(ctx context.Context, dir string, setup hayaumaSetup, mailboxes int) (string, error) {
	program := setup.program
	data, conf := filepath.Join(dir, "data"), filepath.Join(dir, "hayauma.toml")
	text := fmt.Sprintf(hayaumaConf, data, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:53", "25", false, setup.storage, "", "")
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return "", err
	}
	if err := runCommand(ctx, "", program, "domain", "add", localDomain, "--config", conf); err != nil {
		return "", err
	}
	for i := range mailboxes {
		address := "user" + strconv.Itoa(i) + "@" + localDomain
		err := runCommand(ctx, hayaumaPassword+"\n", program, "account", "add", address, "--password-stdin", "--config", conf)
		if err != nil {
			return "", err
		}
	}
	return data, nil
}

// count asks the mailboxes over IMAP how much they hold.
func (h *hayauma) count(ctx context.Context, mailboxes int) (int64, error) {
	r := h.reader(mailboxes)
	return r.CountIMAP(ctx)
}

// held counts what is in the queue, all of it on hold.
func (h *hayauma) held(ctx context.Context) (int64, error) {
	out, err := exec.CommandContext(ctx, h.cmd.Path, "queue", "list", "--state", "held", "--limit", strconv.Itoa(maxHeld), "--json", "--config", h.conf).Output()
	if err != nil {
		return 0, fmt.Errorf("queue list: %w", err)
	}
	var list []struct{}
	err = json.Unmarshal(out, &list)
	return int64(len(list)), err
}

// maxHeld is the most that the command lists.
const maxHeld = 100000

func (h *hayauma) reader(mailboxes int) *Reader {
	return &Reader{Addr: h.imap, Mailboxes: mailboxes, Domain: localDomain, Password: hayaumaPassword}
}
