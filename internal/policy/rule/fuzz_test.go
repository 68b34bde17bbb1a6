package rule_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

// What is taken for a value can be compared with anything; a name or an address
// without * matches itself.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{
		"<>", "*", "a@b.test", "@b.test", "@.b.test", ".b.test", "*.b.test", "[192.0.2.1]", "@[*]", `"a*"@b.test`, "straße.test", "ZOË@b.test",
		"192.0.2.0/24", "sha256:" + print40, "smtp", "a*b*c@x*y", "..", "*@*@*",
	} {
		f.Add(seed, "a@b.test")
	}
	f.Fuzz(func(t *testing.T, value, other string) {
		for _, k := range rule.Kinds() {
			r := rule.Rule{Name: "x", Action: rule.Accept, Conditions: condition(k.Name, value)}
			if r.Check() != nil {
				continue
			}
			for _, fact := range []string{value, other} {
				a, err := mail.ParseAddress(fact)
				if err != nil {
					a = mail.Address{Local: fact}
				}
				facts := rule.Facts{Helo: fact, Sender: a, Login: a, Certificate: rule.Certificate{Name: fact}}
				c, err := rule.Begin([]rule.Rule{r}, facts)
				if err != nil {
					t.Fatalf("%s %q: %v", k.Name, value, err)
				}
				d, err := c.Rcpt(t.Context(), a)
				if err != nil {
					t.Fatalf("%s %q: %v", k.Name, value, err)
				}
				itself := fact == value && value != "<>" && !strings.HasPrefix(value, ".") && !strings.HasPrefix(value, "@") && value != "*"
				byName, byAddress := k.Name == "helo", k.Name == "from" || k.Name == "to" || k.Name == "login"
				if itself && d.Action == "" && (byName || byAddress && a.Domain.ASCII != "") {
					t.Errorf("%s %q does not match itself", k.Name, value)
				}
			}
		}
	})
}

// Glob is what a regular expression would be.
func FuzzGlob(f *testing.F) {
	f.Add("a*b", "a-b")
	f.Add("*a*a*b", "aaaaab")
	f.Add("**", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern)+len(text) > 500 || !utf8.ValidString(pattern) || !utf8.ValidString(text) {
			return
		}
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		want := regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`).MatchString(text)
		if got := rule.Glob(pattern, text); got != want {
			t.Errorf("%q in %q: %v", pattern, text, got)
		}
	})
}
