package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/config"
)

func TestDevSettingsAreValid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "hayauma.toml")
	for range 2 { // the second finds the first's
		if err := writeDevSettings(path); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.DataDir != filepath.Dir(path) || len(cfg.Listen.Submission) != 2 || len(cfg.Warnings()) != 0 {
		t.Errorf("%+v, %q", cfg.Listen, cfg.Warnings())
	}
}

// The passwords are made once, kept, and made anew only when they are lost.
func TestDevLogins(t *testing.T) {
	t.Parallel()
	s := newShell(t, "")
	logins := func() []login {
		t.Helper()
		c := &cli{stderr: os.Stderr, configFlag: s.config}
		got, err := c.devLogins(t.Context())
		if err != nil || len(got) != 2 || got[0].address != "alice@hayauma.test" || len(got[0].password) < 12 {
			t.Fatalf("%v, %v", got, err)
		}
		return got
	}
	first := logins()
	if again := logins(); !slices.Equal(first, again) {
		t.Errorf("%v, then %v", first, again)
	}
	file := filepath.Join(filepath.Dir(s.config), devAccounts)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if lost := logins(); lost[0] == first[0] {
		t.Errorf("the lost password %v came back", lost[0])
	}
	if rows := s.rows("account", "list"); len(rows) != 2 {
		t.Errorf("%v", rows)
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &cli{stdout: &out, stderr: &out, program: "bin/hayauma", configFlag: "it's here/hayauma.toml"}
	cfg := config.Default()
	cfg.DataDir = "/srv/a b"
	cfg.Listen.POP3S = nil
	c.printHints(cfg, []login{{"alice@x.test", "pw1"}, {"bob@x.test", "pw2"}})
	for _, want := range []string{
		"--url smtps://127.0.0.1:465 --user alice@x.test:pw1", `smtplib.SMTP("127.0.0.1", 587)`,
		"--cacert '/srv/a b/tls/ca.pem'", `cafile="/srv/a b/tls/ca.pem"`,
		`bin/hayauma send --config 'it'\''s here/hayauma.toml' -v -t -f alice@x.test`, "'imaps://127.0.0.1:993/INBOX;MAILINDEX=1'",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "pop3s") {
		t.Error("a service that is off has hints")
	}
}

func TestBenchArguments(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"source -conns 2": "source -conns 2", "--config x source": "source", "source --config=x -conns 2": "source -conns 2",
		"--compare -only accept -hayauma x": "bench -only accept -hayauma x", "bench -hayauma=x": "bench -hayauma=x", "": "",
	} {
		if got := strings.Join(benchArguments(strings.Fields(in)), " "); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	if got := benchArguments([]string{"--compare"}); len(got) != 3 || got[0] != "bench" || got[1] != "-hayauma" {
		t.Errorf("%q", got)
	}
}
