package classify

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func newClassifier(t testing.TB) *Classifier {
	t.Helper()
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRealReplies also holds that no row of the patterns is there without a reply that
// needs it.
func TestRealReplies(t *testing.T) {
	t.Parallel()
	c := newClassifier(t)
	all := samples(t)
	used, seen, texts := map[string]bool{}, map[Class]int{}, map[string]bool{}
	for _, s := range all {
		got, row := c.decide(s.reply())
		if got != s.want {
			t.Errorf("%s: %q is %s (by %q), want %s", s.where, s.text, got, row, s.want)
		}
		used[row] = true
		seen[s.want]++
		if texts[s.text] {
			t.Errorf("%s: %q stands twice", s.where, s.text)
		}
		texts[s.text] = true
	}
	for _, p := range slices.Concat(c.words.all, c.hints.all) {
		if !used[p.name] && !p.ours {
			t.Errorf("no reply needs the row %q of %s", p.name, p.class)
		}
	}
	for _, class := range All() {
		if seen[class] == 0 {
			t.Errorf("no reply is %s", class)
		}
	}
	if len(all) < 640 {
		t.Errorf("only %d replies", len(all))
	}
	t.Log(len(all), "replies:", seen)
}

func TestEveryReplyHasASource(t *testing.T) {
	t.Parallel()
	for _, s := range samples(t) {
		public := strings.HasPrefix(s.source, "https://") || strings.HasPrefix(s.source, "http://") || strings.HasPrefix(s.source, "RFC ")
		if !public || s.what == "" {
			t.Errorf("%s: the source %q (%s) is not enough", s.where, s.source, s.what)
		}
	}
}

// TestOwnFindings holds the words that this server finds itself, with their codes.
func TestOwnFindings(t *testing.T) {
	t.Parallel()
	c := newClassifier(t)
	for _, row := range []struct {
		code           int
		enhanced, text string
		want           Class
	}{
		{451, "4.4.1", "connect to mx.example.com[192.0.2.1]:25: connection refused", Network},
		{451, "4.4.1", "connect to spam.example.com[192.0.2.1]:25: timed out", Network},
		{421, "4.4.2", "MAIL to mx.example.com[192.0.2.1]:25: connection closed by the remote", Network},
		{421, "4.4.2", "TLS with mx.example.com[192.0.2.1]:25: tls: failed to verify certificate: x509: certificate signed by unknown authority", TLS},
		{421, "4.4.2", "STARTTLS to mx.example.com[192.0.2.1]:25: timed out", TLS},
		{451, "4.4.3", "The mail exchangers of example.com cannot be looked up for now", DNS},
		{451, "4.4.4", "No mail exchanger of example.com has an address", DNS},
		{550, "5.4.4", "The mail exchanger mx.example.com has no address", BadDomain},
		{550, "5.1.2", "The domain example.com does not exist", BadDomain},
		{556, "5.1.10", "The domain example.com accepts no mail (null MX)", BadDomain},
		{554, "5.4.6", "Mail for example.com leads back to this server", Routing},
		{451, "4.4.7", "The time within which it was to be delivered is over", Expired},
		{552, "5.3.4", "The message has 20000000 octets, mx.example.com takes up to 10000000", TooLarge},
		{554, "5.6.3", "The message is 8-bit, mx.example.com takes 7-bit messages only, and it is signed or encrypted, so that it cannot be converted", Content},
		{553, "5.6.7", "The address needs SMTPUTF8, which mx.example.com does not know", Protocol},
		{530, "5.7.10", "The sender requires TLS, which cannot be had with mx.example.com", TLS},
		{550, "5.7.30", "The sender requires TLS all the way, which mx.example.com does not promise (REQUIRETLS)", TLS},
		{538, "4.7.11", "The login needs TLS, which the host does not offer", TLS},
		{451, "4.3.0", "Internal error during the attempt", System},
		{554, "5.0.0", "Returned by the administrator", Other},
	} {
		got, rule := c.decide(Reply{Code: row.code, Enhanced: row.enhanced, Text: row.text, Ours: true})
		if got != row.want {
			t.Errorf("%d %s %s: %s (by %q), want %s", row.code, row.enhanced, row.text, got, rule, row.want)
		}
	}
}

// TestWhatOutweighsWhat takes the order of the package comment apart. The texts show
// one thing each; they are no real replies.
func TestWhatOutweighsWhat(t *testing.T) {
	t.Parallel()
	c := newClassifier(t)
	for _, row := range []struct {
		name  string
		reply Reply
		want  Class
	}{
		{"clear words, vague code", Reply{Code: 550, Enhanced: "5.7.1", Text: "over quota"}, Full},
		{"clear words, exact code", Reply{Code: 550, Enhanced: "5.1.1", Text: "over quota"}, Full},
		{"vague words, exact code", Reply{Code: 550, Enhanced: "5.2.2", Text: "policy reasons"}, Full},
		{"vague words, vague code", Reply{Code: 550, Enhanced: "5.0.0", Text: "policy reasons"}, Policy},
		{"no words, vague code", Reply{Code: 550, Enhanced: "5.7.1"}, Policy},
		{"no words, vague code, clear basic code", Reply{Code: 535, Enhanced: "5.7.0"}, Login},
		{"no words, exact code, clear basic code", Reply{Code: 530, Enhanced: "5.7.10"}, TLS},
		{"vague words, vague code, clear basic code", Reply{Code: 535, Enhanced: "5.7.0", Text: "policy reasons"}, Policy},
		{"an address that is asked for", Reply{Code: 450, Enhanced: "4.1.1", Text: "Recipient address rejected: unverified address: connect to mx: Connection timed out"}, System},
		{"an address that was asked for", Reply{Code: 550, Enhanced: "5.1.1", Text: "Recipient address rejected: unverified address: it was not there"}, BadMailbox},
		{"no words, basic code", Reply{Code: 500}, Protocol},
		{"the stage", Reply{Code: 550, Stage: Rcpt}, BadMailbox},
		{"another stage", Reply{Code: 552, Stage: Mail}, TooLarge},
		{"no stage", Reply{Code: 550}, Other},
		{"a stage without a row", Reply{Code: 500, Stage: Greeting}, Protocol},
		{"nothing", Reply{}, Other},
		{"nonsense", Reply{Code: -7, Enhanced: ".", Text: "@'-._"}, Other},
		{"a code of its own for one digit", Reply{Code: 451, Enhanced: "4.4.4"}, DNS},
		{"our exact code before words", Reply{Code: 552, Enhanced: "5.3.4", Text: "over quota", Ours: true}, TooLarge},
		{"our shared code after words", Reply{Code: 421, Enhanced: "4.4.2", Text: "TLS with mx: broken", Ours: true}, TLS},
		{"words for our findings only", Reply{Code: 421, Text: "TLS with mx: broken"}, System},
		{"a temporary word in a permanent reply", Reply{Code: 554, Text: "Greylisted"}, Other},
		{"a temporary word without a code", Reply{Text: "Greylisted"}, Greylisted},
		{"a host", Reply{Code: 550, Text: "recipient rejected", Host: "MX.Cox.NET."}, BadMailbox},
		{"another host", Reply{Code: 550, Text: "recipient rejected", Host: "mx.notcox.net"}, Other},
		{"words in an address", Reply{Code: 550, Text: "<over.quota@spamhaus.org> is not welcome"}, Other},
		{"words in a host's name", Reply{Code: 550, Text: "virus.example.com is not welcome"}, Other},
		{"words across lines and marks", Reply{Code: 550, Text: "Mailbox over\r\n550-5.1.1 <a@b.c> QUOTA"}, Full},
		{"words that greylisting has only with its code", Reply{Code: 451, Enhanced: "4.7.1", Text: "Try again later"}, Greylisted},
		{"the same with another code", Reply{Code: 451, Enhanced: "4.3.2", Text: "Internal error reading data, try again later"}, System},
		{"the same without a code", Reply{Code: 451, Text: "Resources temporarily not available - Please try again later [#4.16.5]."}, System},
		{"the same in a reply of our own", Reply{Code: 450, Enhanced: "4.7.1", Text: "This mail is not accepted at the moment, please try again later"}, Policy},
		{"a part of a word", Reply{Code: 550, Text: "viruses"}, Other},
		{"behind the bound", Reply{Code: 550, Text: strings.Repeat(" ", maxText) + "over quota"}, Other},
	} {
		if got, rule := c.decide(row.reply); got != row.want {
			t.Errorf("%s: %s (by %q), want %s", row.name, got, rule, row.want)
		}
	}
}

// TestRegistryIsCovered holds the IANA registry as of 2024-12-06: the last detail of
// each subject. X.1.5 and X.2.5 and above are no failures, or are not registered.
func TestRegistryIsCovered(t *testing.T) {
	t.Parallel()
	c := newClassifier(t)
	for subject, last := range []int{0, 10, 4, 6, 7, 6, 10, 30} {
		for detail := range last + 1 {
			r := Reply{Enhanced: "5." + strconv.Itoa(subject) + "." + strconv.Itoa(detail)}
			_, exact := c.codes.enhanced(&r, true)
			_, vague := c.codes.enhanced(&r, false)
			if !exact && !vague && r.Enhanced != "5.1.5" {
				t.Errorf("%s has no class", r.Enhanced)
			}
		}
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	guide := strings.Join(lines(t, "../../docs/guide/classes.md"), "\n")
	for _, class := range All() {
		if strings.Count(guide, "\n| `"+string(class)+"` |") != 1 {
			t.Errorf("the guide does not tell of %s", class)
		}
		if got, ok := Parse(string(class)); !ok || got != class {
			t.Errorf("%s is not parsed", class)
		}
	}
	for _, name := range []string{"", "Spam", "bad mailbox"} {
		if _, ok := Parse(name); ok {
			t.Errorf("%q is a class", name)
		}
	}
}

// TestFaultyData: what is wrong is said with its line.
func TestFaultyData(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ file, text, want string }{
		{"words.txt", "[full]\nover quota\n\n[fool]", `line 4: "[fool]" is no class`},
		{"words.txt", "[full", `line 1: "[full" is no class`},
		{"words.txt", "over quota", `line 1: no [class] stands above "over quota"`},
		{"words.txt", "[full]\nover quota\nover quota", `line 3: "over quota" stands twice`},
		{"hints.txt", "[full]\nover * ", `line 2: "over *" has no words, or none at a side of *`},
		{"hints.txt", "[full]\n| 4", `line 2: "| 4" has no words, or none at a side of *`},
		{"hints.txt", "[full]\nOver quota", `line 2: "Over quota": write it in lower case, with single spaces`},
		{"hints.txt", "[full]\nover  quota", `line 2: "over  quota": write it in lower case, with single spaces`},
		{"words.txt", "[full]\nover quota | 3", `line 2: "over quota | 3": unknown condition "3"`},
		{"words.txt", "[full]\nover quota | 4 5", `line 2: "over quota | 4 5": unknown condition "5"`},
		{"words.txt", "[full]\nover quota | x.2.2", `line 2: "over quota | x.2.2": unknown condition "x.2.2"`},
		{"words.txt", "[full]\nover quota | 4.2.2 4.2.2", `line 2: "over quota | 4.2.2 4.2.2": unknown condition "4.2.2"`},
		{"words.txt", "[full]\nover quota | @", `line 2: "over quota | @": unknown condition "@"`},
		{"codes.txt", "x.1.1", `line 1: "x.1.1" has no class`},
		{"codes.txt", "#\nx.1.1 fool", `line 2: "fool" is no class`},
		{"codes.txt", "x.1.01 full", `line 1: "x.1.01" is no code`},
		{"codes.txt", "y.1.1 full", `line 1: "y.1.1" is no code`},
		{"codes.txt", "350 full", `line 1: "350" is no code`},
		{"codes.txt", "550 data", `line 1: "550 data" has no class`},
		{"codes.txt", "550 full vague", `line 1: "550 full vague": unknown word "vague"`},
		{"codes.txt", "x.1.1 full clear", `line 1: "x.1.1 full clear": unknown word "clear"`},
		{"codes.txt", "x.1.1 full vague vague", `line 1: "x.1.1 full vague vague": unknown word "vague"`},
		{"codes.txt", "x.1.1 full\n\nx.1.1 spam", `line 3: "x.1.1" stands twice`},
	} {
		_, err := read(func(name string) (string, error) {
			if name == row.file {
				return row.text, nil
			}
			return "", nil
		})
		if want := row.file + ": " + row.want; err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", row.text, err, want)
		}
	}
	if _, err := read(func(string) (string, error) { return "", os.ErrNotExist }); err == nil {
		t.Error("data that are not there were taken")
	}
}

func FuzzOf(f *testing.F) {
	c := newClassifier(f)
	for _, s := range samples(f) {
		r := s.reply()
		f.Add(r.Code, r.Enhanced, r.Text, r.Host, false, "")
	}
	f.Add(550, "5", "550-\xff’@..--", ".", true, "rcpt")
	f.Fuzz(func(t *testing.T, code int, enhanced, text, host string, ours bool, stage string) {
		r := Reply{Code: code, Enhanced: enhanced, Text: text, Host: host, Ours: ours, Stage: Stage(stage)}
		got := c.Of(r)
		if _, ok := Parse(string(got)); !ok {
			t.Errorf("%+v: %q is no class", r, got)
		}
		r.Text = strings.ToUpper(strings.ToValidUTF8(text, ""))
		upper := c.Of(r)
		r.Text = strings.ToLower(strings.ToValidUTF8(text, ""))
		if lower := c.Of(r); len(text) < maxText/4 && isASCII(text) && upper != lower {
			t.Errorf("%+v: %s in lower case, %s in capitals", r, lower, upper)
		}
	})
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 })
}

func BenchmarkOf(b *testing.B) {
	c := newClassifier(b)
	all := samples(b)
	replies := make([]Reply, len(all))
	for i := range all {
		replies[i] = all[i].reply()
	}
	long := Reply{Code: 550, Text: strings.Repeat("client host user mailbox is the ", 100)}
	b.Run("real", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			c.Of(replies[i%len(replies)])
		}
	})
	b.Run("longest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Of(long)
		}
	})
}
