package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRelayDomains(t *testing.T) {
	t.Parallel()
	s := newShell(t, "[dns]\nresolver = \"127.0.0.1:9\"\n")
	s.house()
	s.do("", "domain", "add", "r.test", "--relay", "--to", "192.0.2.1:26,192.0.2.2", "--tls", "verify")
	s.do("", "domain", "add", "backup.test", "--relay", "--recipients", "any")
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("# all of us\na@r.test\nb@r.test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ args, stdin, want string }{
		{"domain recipient import r.test " + file, "", "r.test: 2 recipients, 2 added, 0 removed\n"},
		{"domain recipient import r.test -", "a@r.test\nC@r.test\n", "r.test: 2 recipients, 1 added, 1 removed\n"},
		{"domain recipient import r.test --json", "a@r.test", "{\n  \"listed\": 1,\n  \"added\": 0,\n  \"removed\": 1\n}\n"},
		{"domain recipient add d@r.test", "", "added recipient d@r.test\n"},
		{"domain recipient list r.test", "", "a@r.test\nd@r.test\n"},
		{"domain recipient remove a@r.test", "", "removed recipient a@r.test\n"},
		{"domain recipient list r.test --json", "", "[\n  \"d@r.test\"\n]\n"},
		{"domain set r.test --split", "", "changed domain r.test\n"},
		{"domain list", "", `DOMAIN       KIND   ACCOUNTS  ALIASES  RECIPIENTS  TO
backup.test  relay  0         0        any         by MX
one.test     local  2         0        -           -
r.test       split  0         0        list of 1   192.0.2.1:26 192.0.2.2 (TLS verified)
`},
		{"domain set r.test --split=false --tls opportunistic --recipients any", "", "changed domain r.test\n"},
		{"outbound explain x@r.test", "", `domain  r.test
relay   all recipients pass; to 192.0.2.1:26 192.0.2.2
by      next host
hosts   192.0.2.1  192.0.2.1:26
        192.0.2.2  192.0.2.2:25
TLS     if the host offers it; its certificate is not verified
`},
		{"domain set r.test --recipients list", "", "changed domain r.test\n"},
		{"outbound explain x@r.test", "", `domain  r.test
relay   recipients from its list; to 192.0.2.1:26 192.0.2.2
refused 550 5.1.1: the address is not in the list of this relay domain
`},
		{"domain set r.test --recipients ask", "", "changed domain r.test\n"},
		{"domain list", "", `DOMAIN       KIND   ACCOUNTS  ALIASES  RECIPIENTS           TO
backup.test  relay  0         0        any                  by MX
one.test     local  2         0        -                    -
r.test       relay  0         0        list of 1, then ask  192.0.2.1:26 192.0.2.2
`},
		{"outbound explain x@r.test", "", `domain  r.test
relay   its host is asked for recipients that are not in its list; to 192.0.2.1:26 192.0.2.2
by      next host
`},
		{"domain set r.test --local", "", "changed domain r.test\n"},
		{"outbound explain x@r.test", "", "r.test  is served here: nothing goes out\n"},
		{"domain remove backup.test", "", "removed domain backup.test\n"},
	} {
		if got := s.do(step.stdin, strings.Fields(step.args)...); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s:\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
	s.fails("'hayauma domain set DOMAIN --relay'", "", "domain", "set", "one.test", "--to", "192.0.2.1")
	s.fails("'--split'", "", "domain", "set", "one.test", "--relay")
	s.fails("goes nowhere else", "", "domain", "set", "one.test", "--local", "--to", "192.0.2.1")
	s.fails("is not ours", "", "domain", "set", "two.test", "--relay")
	s.fails("'hayauma domain set DOMAIN --relay'", "", "domain", "recipient", "list", "one.test")
	s.fails("no such file", "", "domain", "recipient", "import", "one.test", file+".gone")
	s.fails("line 1: x@two.test is of another domain", "x@two.test", "domain", "recipient", "import", "one.test")
	s.fails("HOST:PORT", "", "domain", "add", "three.test", "--relay", "--to", "a b")
}
