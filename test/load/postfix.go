package load

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// postfix is an instance with its own settings and queue, not the system's.
type postfix struct {
	*process
	smtp string
}

// postfixSetup says what the instance does with its mail: one line or more of
// main.cf.
type postfixSetup struct {
	main       string
	nameserver string // whom it asks, an address with port 53; empty = nobody
}

// postfixHold accepts everything into the hold queue.
func postfixHold() postfixSetup {
	return postfixSetup{main: "smtpd_recipient_restrictions = check_sender_access static:HOLD, permit_mynetworks, reject\n"}
}

// postfixRelay sends everything on.
func postfixRelay(to string) (postfixSetup, error) {
	host, port, err := net.SplitHostPort(to)
	return postfixSetup{main: "relayhost = [" + host + "]:" + port + "\n"}, err
}

// postfixLocal hands mail for the domain to an LMTP socket.
func postfixLocal(domain, socket string) postfixSetup {
	return postfixSetup{main: "virtual_mailbox_domains = " + domain + "\nvirtual_transport = lmtp:unix:" + socket + "\n"}
}

// The settings that stay constant: no DNS unless a setup says so, no TLS, many processes, else defaults.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.postfix.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
smtpd_tls_security_level = none
smtp_tls_security_level = none
lmtp_tls_security_level = none
disable_dns_lookups = yes
default_process_limit = 250
`

// No service is chrooted: "n" in the third column of flags.
const postfixMaster = `%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// postfixMissing says why Postfix cannot run here; empty if it can.
func postfixMissing() string {
	if _, err := findProgram("postfix"); err != nil {
		return err.Error()
	}
	if os.Geteuid() != 0 {
		return "needs root"
	}
	return ""
}

func startPostfix(ctx context.Context, dir string, setup postfixSetup) (*postfix, error) {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	program, err := findProgram("postfix")
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "conf")
	if err := writePostfix(dir, conf, ports[0], setup); err != nil {
		return nil, fmt.Errorf("postfix: %w", err)
	}
	// Makes the folders of the queue with their owners.
	if err := runCommand(ctx, "", program, "-c", conf, "check"); err != nil {
		return nil, err
	}
	daemons, err := postconf(ctx, conf, "daemon_directory")
	if err != nil {
		return nil, err
	}
	// -d: stays in the foreground, so that it is ours to end.
	master := launch{dir: dir, program: filepath.Join(daemons, "master"), args: []string{"-c", conf, "-d"}}
	if setup.nameserver != "" {
		master.resolvConf = filepath.Join(conf, "resolv.conf")
	}
	p, err := startProcess(ctx, master)
	if err != nil {
		return nil, err
	}
	if err := p.greets(ctx, ports[0]); err != nil {
		p.stop()
		return nil, err
	}
	return &postfix{process: p, smtp: ports[0]}, nil
}

func writePostfix(dir, conf, smtp string, setup postfixSetup) error {
	for _, d := range []string{conf, filepath.Join(dir, "queue"), filepath.Join(dir, "data")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := chownTo("postfix", filepath.Join(dir, "data")); err != nil {
		return err
	}
	files := map[string]string{
		"main.cf":   fmt.Sprintf(postfixMain, dir) + setup.main,
		"master.cf": fmt.Sprintf(postfixMaster, smtp),
	}
	if host, _, err := net.SplitHostPort(setup.nameserver); err == nil {
		files["resolv.conf"] = "nameserver " + host + "\n"
		files["main.cf"] += "smtp_dns_support_level = enabled\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func postconf(ctx context.Context, conf, name string) (string, error) {
	program, err := findProgram("postconf")
	if err != nil {
		return "", fmt.Errorf("postconf: %w", err)
	}
	out, err := exec.CommandContext(ctx, program, "-c", conf, "-h", name).Output()
	if err != nil {
		return "", fmt.Errorf("postconf %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func chownTo(name, path string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}
