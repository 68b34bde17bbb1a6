package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const minimal = "hostname = \"mx1.example.test\"\n"

// The example of the contract: its values from [auth] on are the defaults.
const contract = `hostname = "mx1.example.test"
data_dir = "/var/lib/hayauma"
[listen]
smtp = ["127.0.0.1:10025"]
submission = ["127.0.0.1:10587", "127.0.0.1:12525"]
submissions = ["127.0.0.1:10465"]
lmtp = []
imap = ["127.0.0.1:10143"]
imaps = ["127.0.0.1:10993"]
pop3 = ["127.0.0.1:10110"]
pop3s = ["127.0.0.1:10995"]
http = ["127.0.0.1:10080"]
https = []
[proxy]
networks = []
[tls]
cert_file = ""
key_file = ""
[dns]
resolver = "127.0.0.1:10053"
[auth]
allow_cleartext = false
[relay]
networks = []
[outbound]
port = 25
[limits]
connections = 10000
connections_per_address = 100
login_failures_per_address = 20
message_size = "50MB"
recipients = 1000
[queue]
hold = false
retry = ["5m", "15m", "30m", "1h", "2h", "4h", "8h"]
lifetime = "5d"
delay_notice = "4h"
`

// allDifferent sets every key to another value than its default.
const allDifferent = `hostname = "mx1.example.test"
data_dir = "/srv/mail"
[listen]
smtp = ["192.0.2.1:25", "[2001:db8::1]:25"]
submission = ["localhost:587"]
submissions = []
lmtp = ["unix:/run/hayauma/lmtp", "127.0.0.1:24"]
imap = []
imaps = ["127.0.0.1:0"]
pop3 = []
pop3s = ["127.0.0.1:0"]
http = []
https = ["[::1]:443"]
[proxy]
networks = ["10.0.0.0/8", "2001:db8::/32"]
[tls]
cert_file = "/c"
key_file = "/k"
[dns]
resolver = "[::1]:5353"
trust_ad = true
proof_signed = "signed.test"
proof_bogus = ""
own_networks = ["10.0.0.0/8"]
[auth]
allow_cleartext = true
scram = true
oauth_issuer = "https://id.example.test"
oauth_audience = ["mail"]
oauth_claim = "sub"
client_ca = "/ca"
[smtp]
junk_commands = 7
tarpit = "1s"
greeting_delay = "2s"
vrfy = true
fronts = ["127.0.0.1"]
check_sender = true
normalize = ["192.0.2.9"]
highest_priority = 9
[relay]
networks = ["192.0.2.7"]
ask_timeout = "7s"
[mail]
postmaster = "admin@example.test"
quota = "5GB"
[outbound]
port = 2525
smart_host = "smtp.example.test:465"
smart_host_user = "me"
smart_host_password_file = "/p"
smart_host_tls = "implicit"
proxy = "socks5://us@127.0.0.1:1080"
proxy_password_file = "/q"
concurrency = 7
per_destination = 3
connect_timeout = "20s"
idle_timeout = "0"
messages_per_connection = 9
chunking = false
ipv6 = false
mta_sts = false
return_path = "verp"
bounce_domain = "bounce.example.test"
[reports]
tls = false
organization = "Example & Co."
contact = "tls@example.test"
[limits]
connections = 1
connections_per_address = 0
connections_per_network = 0
connection_rate = 0
connection_rate_per_address = 0
connection_rate_per_network = 0
login_failures_per_address = 0
message_size = "64KiB"
recipients = 100
header_size = 65536
memory_in_flight = "16MiB"
errors_per_session = 3
[submission]
hold = "10s"
check_from = false
hide_client = true
messages_per_minute = 1
messages_per_hour = 2
messages_per_day = 3
recipients_per_minute = 4
recipients_per_hour = 5
recipients_per_day = 6
new_recipients_per_day = 7
[timeouts]
smtp_command = "1m"
data_block = "1m30s"
imap_idle = "1h"
pop3_idle = "20m"
shutdown_grace = "0"
[queue]
hold = true
retry = ["1s"]
lifetime = "1d12h"
delay_notice = "0"
memory = 0
[storage]
database = "postgres://u@db.test/mail"
database_password_file = "/d"
bodies = "s3://bucket/prefix"
bodies_key_file = "/k"
bodies_cache = "2MB"
dead_bodies = "1d"
events = "7d"
min_free = "1GB"
[log]
level = "debug"
format = "json"
`

func TestContractExample(t *testing.T) {
	t.Parallel()
	c, err := Parse("hayauma.toml", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	ch := Diff(Default(), c)
	want := []string{
		"hostname", "listen.smtp", "listen.submission", "listen.submissions", "listen.imap",
		"listen.imaps", "listen.pop3", "listen.pop3s", "listen.http", "dns.resolver",
	}
	if diff := cmp.Diff(want, ch.Reload); diff != "" || ch.Restart != nil {
		t.Errorf("differs from the defaults in %v and %s", ch.Restart, diff)
	}
	if got := c.Listen.Submission; !cmp.Equal(got, []string{"127.0.0.1:10587", "127.0.0.1:12525"}) {
		t.Errorf("submission: %v", got)
	}
}

func TestDefaultsOfAnAlmostEmptyFile(t *testing.T) {
	t.Parallel()
	c, err := Parse("hayauma.toml", []byte(minimal))
	if err != nil {
		t.Fatal(err)
	}
	want := Listen{
		SMTP: []string{":25"}, Submission: []string{":587", ":2525"}, Submissions: []string{":465"},
		LMTP: []string{}, IMAP: []string{":143"}, IMAPS: []string{":993"}, POP3: []string{":110"},
		POP3S: []string{":995"}, HTTP: []string{"127.0.0.1:8080"}, HTTPS: []string{},
	}
	if diff := cmp.Diff(want, c.Listen); diff != "" {
		t.Error(diff)
	}
	if ch := Diff(Default(), c); !cmp.Equal(ch.Reload, []string{"hostname"}) || ch.Restart != nil {
		t.Errorf("more than the hostname differs from Default: %v", ch)
	}
	if w := c.Warnings(); w != nil {
		t.Errorf("the defaults warn: %v", w)
	}
}

func TestEmptyListTurnsOff(t *testing.T) {
	t.Parallel()
	c, err := Parse("f", []byte(minimal+"[listen]\nsmtp = []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listen.SMTP) != 0 || len(c.Listen.IMAP) != 1 {
		t.Errorf("smtp %v, imap %v", c.Listen.SMTP, c.Listen.IMAP)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	t.Parallel()
	c, err := Parse("f", []byte(allDifferent))
	if err != nil {
		t.Fatal(err)
	}
	ch := Diff(Default(), c)
	if n := len(Default().Settings()); len(ch.Reload)+len(ch.Restart) != n {
		t.Errorf("%d of %d settings changed: %v", len(ch.Reload)+len(ch.Restart), n, ch)
	}
	if !cmp.Equal(ch.Restart, []string{"data_dir", "storage.database", "storage.database_password_file",
		"storage.bodies", "storage.bodies_key_file", "storage.bodies_cache", "log.format"}) {
		t.Errorf("need a restart: %v", ch.Restart)
	}
	for _, s := range c.Settings() {
		if s.Line == 0 {
			t.Errorf("%s has no line", s.Key)
		}
	}
	if c.Queue.Lifetime != 36*time.Hour || c.Limits.MessageSize != 65536 || c.Storage.MinFree != 1e9 {
		t.Errorf("%v %v %v", c.Queue.Lifetime, c.Limits.MessageSize, c.Storage.MinFree)
	}
	if got := c.Relay.Networks[0].String(); got != "192.0.2.7/32" {
		t.Errorf("relay.networks: %s", got)
	}
	if got := len(c.Warnings()); got != 3 { // smtp_command, data_block, allow_cleartext
		t.Errorf("%d warnings: %q", got, c.Warnings())
	}
}

func TestInlineTablesAndDottedKeysHaveLines(t *testing.T) {
	t.Parallel()
	text := minimal + "limits = { connections = 5, recipients = 200 }\nqueue.hold = true\n"
	c, err := Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, s := range c.Settings() {
		if s.Line > 0 {
			lines[s.Key] = s.Line
		}
	}
	want := map[string]int{"hostname": 1, "limits.connections": 2, "limits.recipients": 2, "queue.hold": 3}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"letter lost": {
			strings.Repeat("\n", 9) + "[limits]\nconnections = 5\nrecipents = 5\n",
			"unknown key limits.recipents in hayauma.toml line 13: did you mean limits.recipients?",
		},
		"section misspelt": {"[limit]\nrecipients = 5\n", "unknown key limit in hayauma.toml line 2: did you mean limits?"},
		"letters swapped":  {"hotsname = \"x\"\n", "unknown key hotsname in hayauma.toml line 2: did you mean hostname?"},
		"wrong section":    {"message_size = \"50MB\"\n", "unknown key message_size in hayauma.toml line 2: did you mean limits.message_size?"},
		"upper case":       {"[listen]\nSMTP = []\n", "unknown key listen.SMTP in hayauma.toml line 3: did you mean listen.smtp?"},
		"like nothing":     {"xyzzy = 1\n", "unknown key xyzzy in hayauma.toml line 2: remove it; docs/reference/config.md lists all keys"},
		"a dot in quotes":  {"\"limits.recipients\" = 200\n", `unknown key "limits.recipients" in hayauma.toml line 2: did you mean limits.recipients?`},
		"array of tables":  {"[[domains]]\nname = \"x\"\n", "unknown key domains in hayauma.toml line 2: remove it; docs/reference/config.md lists all keys"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("hayauma.toml", []byte(minimal+c.text))
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if _, ok := errors.AsType[*UnknownKey](err); !ok {
				t.Errorf("no *UnknownKey in %v", err)
			}
		})
	}
}

func TestBadForm(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"size":            {"[limits]\nmessage_size = \"50 PB\"", `f:3: limits.message_size = "50 PB": a size is a whole number`},
		"size fraction":   {"[limits]\nmessage_size = 1.5", `f:3: limits.message_size = 1.5: a size is`},
		"size negative":   {"[limits]\nmessage_size = -1", `f:3: limits.message_size = -1: a size is`},
		"default told":    {"[limits]\nmessage_size = true", `remove the line for the default "50MB"`},
		"duration":        {"[queue]\nlifetime = \"5 days\"", `f:3: queue.lifetime = "5 days": a duration is`},
		"duration bare":   {"[queue]\nlifetime = 5", `f:3: queue.lifetime = 5: a duration is a number with a unit`},
		"bool":            {"[queue]\nhold = \"yes\"", `f:3: queue.hold = "yes": must be true or false`},
		"int":             {"[limits]\nrecipients = \"1000\"", `f:3: limits.recipients = "1000": must be a whole number, without quotes`},
		"text":            {"[log]\nlevel = 3", `f:3: log.level = 3: must be text in quotes`},
		"list":            {"[listen]\nsmtp = \":25\"", `f:3: listen.smtp = ":25": must be a list`},
		"list of numbers": {"[listen]\nsmtp = [25]", `f:3: listen.smtp = [25]: must be text in quotes`},
		"network":         {"[relay]\nnetworks = [\"10.0.0.0/33\"]", `f:3: relay.networks = ["10.0.0.0/33"]: each entry must be a network`},
		"network zone":    {"[relay]\nnetworks = [\"fe80::1%eth0\"]", `each entry must be a network`},
		"section":         {"limits = 5", `f:2: limits: is a section; write [limits]`},
		"table for value": {"[data_dir]\n", `f:2: data_dir = {...}: must be text in quotes`},
		"min_free zero":   {"[storage]\nmin_free = \"0\"", `f:3: storage.min_free = "0": must leave some space free`},
		"not TOML":        {"[limits\n", `f:2:`},
		"key twice":       {"hostname = \"x\"", `f:2:`},
		"long value":      {"[log]\nlevel = [\"" + strings.Repeat("ü", 1000) + "\"]", "...: must be text in quotes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f", []byte(minimal+c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			if err != nil && (len(err.Error()) > 500 || strings.Contains(err.Error(), "\n")) {
				t.Errorf("not one clear sentence: %v", err)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Parse("f", []byte("[limits]\nrecipients = \"x\"\nfoo = 1\n[outbound]\nport = 0\n[queue]\nretry = []\n"))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{"limits.recipients", "limits.foo", "hostname", "outbound.port", "queue.retry"}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d problems:\n%v", len(lines), err)
	}
	for i, key := range want {
		if !strings.Contains(lines[i], key) {
			t.Errorf("problem %d: %q does not name %s", i, lines[i], key)
		}
	}
}

func TestLoadResolvesRelativeNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "hayauma.toml")
	text := minimal + "data_dir = \"data\"\n[outbound]\nsmart_host = \"h.test:25\"\nsmart_host_user = \"u\"\nsmart_host_password_file = \"pw\"\n"
	writeFile(t, path, text)
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "hayauma.toml:6: outbound.smart_host_password_file") {
		t.Errorf("missing password file: %v", err)
	}
	writeFile(t, filepath.Join(dir, "pw"), "\nsecret\n")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("empty first line: %v", err)
	}
	writeFile(t, filepath.Join(dir, "pw"), "secret\r\nmore\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != filepath.Join(dir, "data") || c.File() != path {
		t.Errorf("data_dir %s, file %s", c.DataDir, c.File())
	}
	if got, err := c.Outbound.SmartHostPassword(); err != nil || got != "secret" {
		t.Errorf("password %q, %v", got, err)
	}
}

// TestEveryFileNameIsResolved: a text among the settings is a file name, and starts at the
// folder of the settings file, or stands here. So a new one cannot be forgotten.
func TestEveryFileNameIsResolved(t *testing.T) {
	t.Parallel()
	others := strings.Fields(`hostname dns.resolver dns.proof_signed dns.proof_bogus auth.oauth_issuer auth.oauth_claim
		mail.postmaster outbound.smart_host outbound.smart_host_user outbound.proxy outbound.bounce_domain
		reports.organization reports.contact storage.database storage.bodies`)
	c := Default()
	texts := func(fn func(field)) {
		c.walk(func(f field) {
			if f.value.Kind() == reflect.String && f.words() == nil {
				fn(f)
			}
		})
	}
	texts(func(f field) { f.value.SetString("name") })
	c.resolve("/etc/hayauma")
	texts(func(f field) {
		want := "/etc/hayauma/name"
		if slices.Contains(others, f.key) {
			want = "name"
		}
		if got := f.value.String(); got != want {
			t.Errorf("%s: %q, want %q: Config.resolve takes file names, the list of this test what is none", f.key, got, want)
		}
	})
}

func TestLoadFileFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a folder was loaded")
	}
	big := filepath.Join(dir, "big")
	writeFile(t, big, strings.Repeat("#", maxFileSize+1))
	if _, err := Load(big); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("big: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	places := []string{first, second}
	if _, err := find("", places); err == nil || !strings.Contains(err.Error(), first+" or "+second) {
		t.Errorf("none: %v", err)
	}
	writeFile(t, second, "")
	if got, err := find("", places); got != second || err != nil {
		t.Errorf("second only: %s, %v", got, err)
	}
	writeFile(t, first, "")
	if got, err := find("", places); got != first || err != nil {
		t.Errorf("both: %s, %v", got, err)
	}
	if got, err := Find("given"); got != "given" || err != nil {
		t.Errorf("given: %s, %v", got, err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// render writes c as a file that sets every key.
func render(c *Config) string {
	var b strings.Builder
	for _, s := range c.Settings() {
		b.WriteString(s.Key + " = " + s.Value + "\n")
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(contract))
	f.Add([]byte(allDifferent))
	f.Add([]byte("[limits]\nrecipents = 5\n[[x]]\n\"a.b\" = {c=[1,{d=2}]}\n"))
	f.Add([]byte("hostname=\"a\"\nqueue.retry=[\"1d\"]\nmin=1\nlimits=5"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatal("an error needs a text and no settings beside it")
			}
			return
		}
		if problems := c.check(); problems != nil {
			t.Fatalf("accepted with %v", problems)
		}
		text := render(c)
		again, err := Parse("f", []byte(text))
		if err != nil {
			t.Fatalf("its own listing is refused: %v\n%s", err, text)
		}
		if ch := Diff(c, again); ch.Reload != nil || ch.Restart != nil {
			t.Fatalf("its own listing reads differently: %v", ch)
		}
	})
}

func TestRenderedDefaultsReadBack(t *testing.T) {
	t.Parallel()
	want := Default()
	want.Hostname = "a.test"
	got, err := Parse("", []byte(render(want)))
	if err != nil {
		t.Fatal(err)
	}
	got.origin = origin{}
	if !reflect.DeepEqual(want, got) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
