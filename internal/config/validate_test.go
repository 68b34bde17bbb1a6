package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// valid returns settings without a problem.
func valid() *Config {
	c := Default()
	c.Hostname = "mx1.example.test"
	return c
}

func TestValidate(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(c *Config)
		want   string // the start of the one problem; empty = none
	}{
		"defaults":             {func(*Config) {}, ""},
		"no hostname":          {func(c *Config) { c.Hostname = "" }, "hostname: is missing"},
		"hostname IP":          {func(c *Config) { c.Hostname = "192.0.2.1" }, `hostname = "192.0.2.1": is a number`},
		"hostname space":       {func(c *Config) { c.Hostname = "mx 1" }, `hostname = "mx 1": may hold only`},
		"hostname dot":         {func(c *Config) { c.Hostname = "mx1." }, `hostname = "mx1.": must not end`},
		"hostname hyphen":      {func(c *Config) { c.Hostname = "-mx.test" }, `hostname = "-mx.test": has a part`},
		"hostname empty part":  {func(c *Config) { c.Hostname = "mx..test" }, `hostname = "mx..test": has a part`},
		"hostname long":        {func(c *Config) { c.Hostname = strings.Repeat("a.", 127) + "a" }, "hostname = "},
		"hostname single":      {func(c *Config) { c.Hostname = "localhost" }, ""},
		"hostname digits":      {func(c *Config) { c.Hostname = "1.2.3.example" }, ""},
		"no data_dir":          {func(c *Config) { c.DataDir = "" }, `data_dir = ""`},
		"listen no port":       {func(c *Config) { c.Listen.SMTP = []string{"127.0.0.1"} }, `listen.smtp = "127.0.0.1": is not an address with a port`},
		"listen name":          {func(c *Config) { c.Listen.SMTP = []string{"example.test:25"} }, `listen.smtp = "example.test:25": "example.test" is not an IP address`},
		"listen port":          {func(c *Config) { c.Listen.SMTP = []string{":65536"} }, `listen.smtp = ":65536": port "65536"`},
		"listen port name":     {func(c *Config) { c.Listen.SMTP = []string{":smtp"} }, `listen.smtp = ":smtp": port "smtp"`},
		"listen unix":          {func(c *Config) { c.Listen.IMAP = []string{"unix:/run/x"} }, `listen.imap = "unix:/run/x": only lmtp`},
		"listen unix relative": {func(c *Config) { c.Listen.LMTP = []string{"unix:x"} }, `listen.lmtp = "unix:x": a unix socket is`},
		"lmtp unix":            {func(c *Config) { c.Listen.LMTP = []string{"unix:/run/x"} }, ""},
		"listen IPv6":          {func(c *Config) { c.Listen.SMTP = []string{"[::1]:25", "[fe80::1%eth0]:25"} }, ""},
		"listen twice":         {func(c *Config) { c.Listen.IMAP = []string{":25"} }, `listen.imap = ":25": is already taken by listen.smtp`},
		"listen twice in one":  {func(c *Config) { c.Listen.IMAP = []string{"[::1]:9", "[0::1]:9"} }, `listen.imap = "[0::1]:9": is already taken by listen.imap`},
		"listen port 0 twice":  {func(c *Config) { c.Listen.IMAP, c.Listen.SMTP = []string{":0"}, []string{":0"} }, ""},
		"cert alone":           {func(c *Config) { c.TLS.CertFile = "/c" }, `tls.key_file = "": cert_file and key_file go together`},
		"key alone":            {func(c *Config) { c.TLS.KeyFile = "/k" }, `tls.cert_file = "": cert_file and key_file go together`},
		"cert absent":          {func(c *Config) { c.TLS.CertFile, c.TLS.KeyFile = "/absent/c", "/absent/k" }, `tls.cert_file = "/absent/c": is no usable pair`},
		"resolver name":        {func(c *Config) { c.DNS.Resolver = "dns.test" }, `dns.resolver = "dns.test"`},
		"resolver port 0":      {func(c *Config) { c.DNS.Resolver = "127.0.0.1:0" }, `dns.resolver = "127.0.0.1:0"`},
		"resolver bare":        {func(c *Config) { c.DNS.Resolver = "::1" }, ""},
		"signed name":          {func(c *Config) { c.DNS.ProofSigned = "a b" }, `dns.proof_signed = "a b": may hold only`},
		"bogus name":           {func(c *Config) { c.DNS.ProofBogus = "a..b" }, `dns.proof_bogus = "a..b": has a part`},
		"no proof":             {func(c *Config) { c.DNS.ProofSigned, c.DNS.ProofBogus = "", "" }, ""},
		"postmaster":           {func(c *Config) { c.Mail.Postmaster = "root" }, `mail.postmaster = "root"`},
		"postmaster two at":    {func(c *Config) { c.Mail.Postmaster = "a@b@c" }, `mail.postmaster = "a@b@c"`},
		"postmaster space":     {func(c *Config) { c.Mail.Postmaster = "a b@c" }, `mail.postmaster = "a b@c"`},
		"postmaster good":      {func(c *Config) { c.Mail.Postmaster = "早馬@例え.test" }, ""},
		"contact":              {func(c *Config) { c.Reports.Contact = "root" }, `reports.contact = "root": must be an address`},
		"contact good":         {func(c *Config) { c.Reports.Contact = "tls@example.test" }, ""},
		"organization":         {func(c *Config) { c.Reports.Organization = "a\nb" }, "reports.organization"},
		"organization good":    {func(c *Config) { c.Reports.Organization = "早馬 & Co." }, ""},
		"port 0":               {func(c *Config) { c.Outbound.Port = 0 }, "outbound.port = 0: must be at least 1"},
		"port high":            {func(c *Config) { c.Outbound.Port = 65536 }, "outbound.port = 65536: must be at most 65535"},
		"smart host":           {func(c *Config) { c.Outbound.SmartHost = "h.test" }, `outbound.smart_host = "h.test": must be "host:port"`},
		"smart host IP":        {func(c *Config) { c.Outbound.SmartHost = "[::1]:25" }, ""},
		"smart host port":      {func(c *Config) { c.Outbound.SmartHost = "h.test:0" }, `outbound.smart_host = "h.test:0"`},
		"proxy with a user":    {func(c *Config) { c.Outbound.Proxy = "socks5://u@h.test:1" }, `outbound.proxy = "socks5://u@h.test:1": the user of a proxy and proxy_password_file go together; set both`},
		"proxy and password":   {func(c *Config) { c.Outbound.Proxy = "socks5://u:secret@h.test:1" }, `outbound.proxy = "socks5://u:...@h.test:1": write`},
		"proxy":                {func(c *Config) { c.Outbound.Proxy = "https://h.test:1" }, `outbound.proxy = "https://h.test:1": write a proxy like`},
		"user without host":    {func(c *Config) { c.Outbound.SmartHostUser = "u" }, `outbound.smart_host_user = "u": there is no smart_host`},
		"user alone":           {func(c *Config) { c.Outbound.SmartHost, c.Outbound.SmartHostUser = "h.test:25", "u" }, `outbound.smart_host_user = "u": smart_host_user and`},
		"return path":          {func(c *Config) { c.Outbound.ReturnPath = "own" }, `outbound.return_path = "own": must be one of sender, unique, verp`},
		"bounce domain":        {func(c *Config) { c.Outbound.BounceDomain = "b@c" }, `outbound.bounce_domain = "b@c": may hold only`},
		"smart host TLS word":  {func(c *Config) { c.Outbound.SmartHostTLS = "maybe" }, `outbound.smart_host_tls = "maybe": must be one of starttls, implicit, opportunistic, none`},
		"no connections":       {func(c *Config) { c.Limits.Connections = 0 }, "limits.connections = 0: must be at least 1"},
		"negative":             {func(c *Config) { c.Limits.ConnectionsPerAddress = -1 }, "limits.connections_per_address = -1: must be at least 0"},
		"no recipients":        {func(c *Config) { c.Limits.Recipients = 0 }, "limits.recipients = 0: must be at least 1"},
		"few recipients":       {func(c *Config) { c.Limits.Recipients = 99 }, ""},
		"small messages":       {func(c *Config) { c.Limits.MessageSize = 64*KB - 1 }, `limits.message_size = "63999": must be at least 64KB`},
		"huge messages":        {func(c *Config) { c.Limits.MessageSize = 5 * GB }, `limits.message_size = "5GB": must be at most 4GB`},
		"no retry":             {func(c *Config) { c.Queue.Retry = nil }, "queue.retry = []: must hold at least one wait"},
		"retry 0":              {func(c *Config) { c.Queue.Retry = []time.Duration{time.Hour, 0} }, `queue.retry = ["1h", "0"]: must be at least 1s`},
		"retry descending":     {func(c *Config) { c.Queue.Retry = []time.Duration{time.Hour, time.Minute} }, ""},
		"lifetime 0":           {func(c *Config) { c.Queue.Lifetime = 0 }, `queue.lifetime = "0": must be at least 1s`},
		"no delay notice":      {func(c *Config) { c.Queue.DelayNotice = 0 }, ""},
		"log level":            {func(c *Config) { c.Log.Level = "loud" }, `log.level = "loud": must be one of debug, info, warn, error`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := valid()
			c.change(conf)
			err := conf.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want == "":
			case err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n"):
				t.Errorf("got  %v\nwant %s", err, c.want)
			case !strings.Contains(err.Error(), ";"):
				t.Errorf("does not say what to do: %v", err)
			}
		})
	}
}

func TestSmartHostPasswordNeedsTLS(t *testing.T) {
	t.Parallel()
	pw := filepath.Join(t.TempDir(), "pw")
	writeFile(t, pw, "secret\n")
	for word, ok := range map[string]bool{"starttls": true, "implicit": true, "opportunistic": false, "none": false} {
		c := valid()
		c.Outbound.SmartHost, c.Outbound.SmartHostUser, c.Outbound.SmartHostPasswordFile = "h.test:587", "u", pw
		c.Outbound.SmartHostTLS = word
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", word, err)
		}
	}
}

func TestProxyPassword(t *testing.T) {
	t.Parallel()
	pw := filepath.Join(t.TempDir(), "pw")
	for want, c := range map[string]struct{ proxy, file, password string }{
		"":                           {"socks5://us@h.test:1080", pw, "hunter2 \nmore"},
		"there is no proxy":          {"", pw, "hunter2"},
		"go together":                {"socks5://h.test:1080", pw, "hunter2"},
		"line 1 of " + pw:            {"http://us@h.test:3128", pw, "\nhunter2"},
		"up to 255 octets":           {"http://us@h.test:3128", pw, strings.Repeat("hunter2", 50)},
		"no such file":               {"http://us@h.test:3128", pw + "2", ""},
		`"socks5://us:...@h.test:1"`: {"socks5://us:hunter2@h.test:1", pw, "hunter2"},
	} {
		writeFile(t, pw, c.password+"\n")
		o := valid()
		o.Outbound.Proxy, o.Outbound.ProxyPasswordFile = c.proxy, c.file
		err := o.Validate()
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %v", want, err)
		}
		if got, _ := o.Outbound.ProxyPassword(); want == "" && got != "hunter2 " {
			t.Errorf("%q", got)
		}
	}
}

func TestCertificatePair(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c := valid()
	c.TLS.CertFile, c.TLS.KeyFile = cert, key
	writePair(t, cert, key)
	if err := c.Validate(); err != nil {
		t.Errorf("a good pair: %v", err)
	}
	writePair(t, cert, filepath.Join(dir, "other.pem"))
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "is no usable pair") {
		t.Errorf("a mismatched pair: %v", err)
	}
}

func writePair(t *testing.T, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

func TestBareResolverGetsItsPort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "192.0.2.1": "192.0.2.1:53", "::1": "[::1]:53", "192.0.2.1:5353": "192.0.2.1:5353"} {
		c, err := Parse("f", []byte(minimal+"[dns]\nresolver = \""+in+"\"\n"))
		if err != nil || c.DNS.Resolver != want {
			t.Errorf("%q: %v, %v", in, c, err)
		}
	}
}

func TestSplitListen(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		":25": {"tcp", ":25"}, "127.0.0.1:0025": {"tcp", "127.0.0.1:25"}, "[0::1]:25": {"tcp", "[::1]:25"},
		"localhost:25": {"tcp", "localhost:25"}, "unix:/run//lmtp": {"unix", "/run/lmtp"},
	} {
		network, addr, err := SplitListen(in)
		if err != nil || network != want[0] || addr != want[1] {
			t.Errorf("%q: %s %s, %v", in, network, addr, err)
		}
	}
	if _, _, err := SplitListen("unix:/" + strings.Repeat("x", 103)); err == nil {
		t.Error("a socket path too long for the kernel is accepted")
	}
}

// A default must be something to listen on with both IP versions.
func TestDefaultAddressIsBothIPVersions(t *testing.T) {
	t.Parallel()
	for _, s := range Default().Listen.SMTP {
		if host, _, err := net.SplitHostPort(s); host != "" || err != nil {
			t.Errorf("%s names one address", s)
		}
	}
}

// Every bound in a tag can be read, and the defaults keep it.
func TestBoundsCanBeRead(t *testing.T) {
	t.Parallel()
	Default().walk(func(f field) {
		for _, which := range []string{"min", "max"} {
			if _, ok := bound(f, which); !ok && f.tag.Get(which) != "" {
				t.Errorf("%s: %s %q cannot be read", f.key, which, f.tag.Get(which))
			}
		}
	})
}

func TestLimitsInForce(t *testing.T) {
	t.Parallel()
	for in, want := range map[[2]int][2]int{{100, 20}: {100, 20}, {0, 20}: {0, 0}, {100, 0}: {0, 0}, {0, 0}: {0, 0}} {
		l := Limits{
			Connections: 1, ConnectionsPerAddress: in[0], LoginFailuresPerAddress: in[1],
			ConnectionsPerNetwork: 1, ConnectionRate: 1, ConnectionRatePerAddress: 1, ConnectionRatePerNetwork: 1,
		}.InForce()
		if [2]int{l.ConnectionsPerAddress, l.LoginFailuresPerAddress} != want || l.Connections != 1 || l.ConnectionRate != 1 {
			t.Errorf("%v: %+v", in, l)
		}
		rest := min(1, want[0])
		if l.ConnectionsPerNetwork != rest || l.ConnectionRatePerAddress != rest || l.ConnectionRatePerNetwork != rest {
			t.Errorf("%v: %+v", in, l)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	cases := map[string]func(c *Config){
		"limits.recipients":              func(c *Config) { c.Limits.Recipients = 99 },
		"timeouts.smtp_command":          func(c *Config) { c.Timeouts.SMTPCommand = time.Minute },
		"timeouts.data_block":            func(c *Config) { c.Timeouts.DataBlock = time.Minute },
		"timeouts.imap_idle":             func(c *Config) { c.Timeouts.IMAPIdle = time.Minute },
		"timeouts.pop3_idle":             func(c *Config) { c.Timeouts.POP3Idle = time.Minute },
		"auth.allow_cleartext":           func(c *Config) { c.Auth.AllowCleartext = true },
		"limits.connections_per_address": func(c *Config) { c.Limits.ConnectionsPerAddress = 0 },
		"relay.networks":                 func(c *Config) { c.Relay.Networks = prefixes("0.0.0.0/0") },
		"smtp.fronts":                    func(c *Config) { c.SMTP.Fronts = prefixes("192.0.2.1/32", "2000::/3") },
		"proxy.networks":                 func(c *Config) { c.Proxy.Networks = prefixes("8.0.0.0/7", "0.0.0.0/1") },
	}
	for key, change := range cases {
		c := valid()
		change(c)
		if w := c.Warnings(); len(w) != 1 || !strings.HasPrefix(w[0], key) {
			t.Errorf("%s: %q", key, w)
		}
	}
	c := valid()
	c.Relay.Networks = prefixes("10.0.0.0/8", "fc00::/7", "fe80::/10", "198.51.100.0/24")
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("networks of one's own: %q", w)
	}
}

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}
