package outbound_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
)

// TestExplainPolicy: an operator sees the policy, where it is from, and what it says
// of each host.
func TestExplainPolicy(t *testing.T) {
	t.Parallel()
	const hosts = `"hosts":[{"name":"mx.x.test","preference":10,"addresses":["10.0.0.1:25"],"policy":"named by the policy"},` +
		`{"name":"other.test","preference":20,"addresses":["10.0.0.2:25"],"policy":"not named by the policy: `
	const none = `"hosts":[{"name":"mx.x.test","preference":10,"addresses":["10.0.0.1:25"]},{"name":"other.test","preference":20,"addresses":["10.0.0.2:25"]}]`
	const opportunistic = `"tls":"if the host offers it; its certificate is not verified"`
	for name, c := range map[string]struct {
		setup func(*policed)
		want  []string // parts of it
	}{
		"enforced": {func(p *policed) { p.publish("1", "enforce", "*.x.test") }, []string{hosts + `it gets no mail"}]`, `"tls":"always; the certificate is verified (MTA-STS)"`,
			`"policy":{"source":"MTA-STS","mode":"enforce","id":"1","mx":["*.x.test"],"fetched":"`, `"expires":"`}},
		"tried out": {func(p *policed) { p.publish("2", "testing", "*.x.test") }, []string{hosts + `it is reported"}]`,
			`"tls":"if the host offers it; what the policy asks for is only reported (MTA-STS)"`, `"mode":"testing","id":"2"`}},
		"taken back": {func(p *policed) { p.publish("3", "none", "*.x.test") }, []string{none, opportunistic, `"mode":"none","id":"3"`}},
		"not to be had": {func(p *policed) {
			p.publish("4", "enforce", "*.x.test")
			p.web.Answer("x.test", http.NotFound)
		}, []string{none, opportunistic, `"policy":{"source":"MTA-STS","failure":"sts-policy-fetch-error: fetch https://mta-sts.x.test/.well-known/mta-sts.txt: the web server answers 404"}`}},
		"no host is named": {func(p *policed) { p.publish("5", "enforce", "mail.x.test") },
			[]string{`"reply":"450 4.7.0 other.test is not among the hosts that the MTA-STS policy of x.test (id 5) names"`}},
		"none":        {func(*policed) {}, []string{none + "," + opportunistic + "}"}},
		"by settings": {func(p *policed) { p.publish("1", "enforce", "*.x.test"); p.set.MTASTS = false }, []string{none + "," + opportunistic + "}"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t, "x.test. 60 MX 10 mx.x.test.", "x.test. 60 MX 20 other.test.", "mx.x.test. 60 A 10.0.0.1", "other.test. 60 A 10.0.0.2")
			c.setup(p)
			got, err := json.Marshal(p.o.Explain(t.Context(), mail.Domain{ASCII: "x.test"}, ""))
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(string(got), want) {
					t.Errorf("%s\nlacks %s", got, want)
				}
			}
			if p.dials() != "" {
				t.Errorf("it connected to %s", p.dials())
			}
		})
	}
}
