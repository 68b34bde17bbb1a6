package outbound_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		"gmail.test. 60 MX 5 gmail-smtp-in.l.google.com.", "gmail.test. 60 MX 10 alt1.gmail-smtp-in.l.google.com.",
		"firm.test. 60 MX 1 aspmx.l.google.com.", "firm.test. 60 MX 5 backup.firm.test.",
		"office.test. 60 MX 0 office-test.mail.protection.outlook.com.",
		"japan.test. 60 MX 10 mx.hosting.ne.jp.", "own.test. 60 MX 10 mx1.own.test.",
		"two.test. 60 MX 10 b.second.test.", "two.test. 60 MX 10 a.first.test.",
		"sub.none.test. 60 A 10.0.0.1", "null.test. 60 MX 0 .",
	)
	w.dns.Fail("broken.test", testkit.DNSServFail)
	for site, want := range map[string]string{
		"gmail.test": "google.com", "firm.test": "google.com", "office.test": "outlook.com", "japan.test": "hosting.ne.jp",
		"own.test": "own.test", "two.test": "first.test", "sub.none.test": "none.test", "null.test": "",
		"broken.test": "", "nothing.test": "", "[10.0.0.9]": "[10.0.0.9]",
	} {
		if got := w.o.Provider(t.Context(), site); got != want {
			t.Errorf("%s: %q, want %q", site, got, want)
		}
	}
	w.set.SmartHost = outbound.SmartHost{Host: "smart.test"}
	if got := w.o.Provider(t.Context(), "gmail.test"); got != "smart.test" {
		t.Errorf("with a smart host: %q", got)
	}
}

// TestLimitsOfAProvider: what a provider bears goes before the settings.
func TestLimitsOfAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mx(testkit.MXOptions{})
	w.limits = func(provider string) (messages, recipients int) {
		if provider != "x.test" {
			t.Errorf("asked about %q", provider)
		}
		return 2, 3
	}
	got := w.deliver(t.Context(), w.job("a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test"), w.job("f@x.test"))
	w.want(got[0], good, good, good, good, good)
	w.want(got[1], good)
	var sizes []int
	for _, msg := range m.Messages() {
		sizes = append(sizes, len(msg.Recipients))
	}
	if len(sizes) != 3 || sizes[0] != 3 || sizes[1] != 2 || sizes[2] != 1 || m.Connections() != 2 {
		t.Errorf("recipients of each transaction: %v, on %d connections", sizes, m.Connections())
	}
}
