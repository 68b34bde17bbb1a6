package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// dovecot is an instance with its own settings and mail, not the system's.
type dovecot struct {
	*process
	lmtp   string // address of its LMTP
	socket string // and its unix socket
	imap   string
	mail   string // folder of the homes
}

const dovecotPassword = "load"

// Static users, Maildir, no TLS, default fsync; else defaults.
const dovecotConf = `protocols = imap lmtp
listen = 127.0.0.1
base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
passdb {
  driver = static
  args = password=` + dovecotPassword + `
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=%[1]s/mail/%%n allow_all_users=yes
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[2]s
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[3]s
  }
  unix_listener %[1]s/lmtp {
    mode = 0666
  }
}
`

// dovecotMissing says why Dovecot cannot run here; empty if it can.
func dovecotMissing() string {
	if _, err := findProgram("dovecot"); err != nil {
		return err.Error()
	}
	if _, err := os.Stat("/usr/lib/dovecot/lmtp"); err != nil {
		return "its LMTP server is not installed"
	}
	if os.Geteuid() != 0 {
		return "needs root"
	}
	return ""
}

func startDovecot(ctx context.Context, dir string) (*dovecot, error) {
	program, err := findProgram("dovecot")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	d := &dovecot{imap: ports[0], lmtp: ports[1], socket: filepath.Join(dir, "lmtp"), mail: filepath.Join(dir, "mail")}
	_, imapPort, err := net.SplitHostPort(d.imap)
	if err != nil {
		return nil, err
	}
	_, lmtpPort, err := net.SplitHostPort(d.lmtp)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.mail, 0o755); err != nil {
		return nil, err
	}
	if err := chownTo("nobody", d.mail); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "dovecot.conf")
	text := fmt.Sprintf(dovecotConf, dir, imapPort, lmtpPort)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if d.process, err = startProcess(ctx, launch{dir: dir, program: program, args: []string{"-F", "-c", conf}}); err != nil {
		return nil, err
	}
	if err := errors.Join(d.greets(ctx, d.lmtp), d.greets(ctx, d.imap)); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// settle waits until that many messages are in the maildirs.
func (d *dovecot) settle(ctx context.Context, total int64) error {
	for {
		n, err := countMaildirs(d.mail)
		if err != nil {
			return err
		}
		if n >= total {
			return nil
		}
		// Looking costs the machine, so not often while much is missing.
		wait := pollEvery
		if total-n > 200 {
			wait *= 10
		}
		if !pause(ctx, wait) {
			return fmt.Errorf("%d of %d messages are in the maildirs: %w", n, total, ctx.Err())
		}
	}
}

func countMaildirs(root string) (int64, error) {
	homes, err := os.ReadDir(root)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, home := range homes {
		for _, sub := range []string{"new", "cur"} {
			names, err := os.ReadDir(filepath.Join(root, home.Name(), "Maildir", sub))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return 0, err
			}
			n += int64(len(names))
		}
	}
	return n, nil
}
