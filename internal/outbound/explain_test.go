package outbound_test

import (
	"encoding/json"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
)

// TestExplain: what is told is what an attempt would do, and nobody is connected to.
func TestExplain(t *testing.T) {
	t.Parallel()
	const opportunistic = `"tls":"if the host offers it; its certificate is not verified"`
	for _, c := range []struct {
		name, site string
		records    []string
		smart      outbound.SmartHost
		want       string
	}{
		{"two exchangers", "x.test",
			[]string{"x.test. 60 MX 20 n.test.", "x.test. 60 MX 10 m.test.", "m.test. 60 A 10.0.0.1", "m.test. 60 AAAA fd00::1", "n.test. 60 A 10.0.0.2"},
			outbound.SmartHost{},
			`{"site":"x.test","by":"MX","hosts":[{"name":"m.test","preference":10,"addresses":["[fd00::1]:25","10.0.0.1:25"]},` +
				`{"name":"n.test","preference":20,"addresses":["10.0.0.2:25"]}],` + opportunistic + `}`},
		{"one without an address", "x.test", []string{"x.test. 60 MX 10 m.test.", "x.test. 60 MX 20 n.test.", "n.test. 60 A 10.0.0.2"}, outbound.SmartHost{},
			`{"site":"x.test","by":"MX","hosts":[{"name":"m.test","preference":10,"fault":"550 5.4.4 The mail exchanger m.test has no address"},` +
				`{"name":"n.test","preference":20,"addresses":["10.0.0.2:25"]}],` + opportunistic + `}`},
		{"no MX", "x.test", []string{"x.test. 60 A 10.0.0.1"}, outbound.SmartHost{},
			`{"site":"x.test","by":"no MX","hosts":[{"name":"x.test","preference":0,"addresses":["10.0.0.1:25"]}],` + opportunistic + `}`},
		{"no MX, signed", "signed.test", []string{"signed.test. 60 A 10.0.0.1"}, outbound.SmartHost{},
			`{"site":"signed.test","by":"no MX","hosts":[{"name":"signed.test","preference":0,"proven":true,"addresses":["10.0.0.1:25"]}],` + opportunistic + `}`},
		{"one, without an address", "x.test", []string{"x.test. 60 MX 10 m.test."}, outbound.SmartHost{},
			`{"site":"x.test","by":"MX","hosts":[{"name":"m.test","preference":10,"fault":"550 5.4.4 The mail exchanger m.test has no address"}],` +
				`"reply":"550 5.4.4 The mail exchanger m.test has no address",` + opportunistic + `}`},
		{"no MX and no address", "x.test", []string{"x.test. 60 TXT here"}, outbound.SmartHost{},
			`{"site":"x.test","by":"no MX","hosts":[{"name":"x.test","preference":0,"fault":"550 5.4.4 The mail exchanger x.test has no address"}],` +
				`"reply":"550 5.1.2 The domain x.test has neither a mail exchanger nor an address",` + opportunistic + `}`},
		{"null MX", "x.test", []string{"x.test. 60 MX 0 ."}, outbound.SmartHost{},
			`{"site":"x.test","by":"MX","reply":"556 5.1.10 The domain x.test accepts no mail (null MX)",` + opportunistic + `}`},
		{"nothing", "nothing.test", nil, outbound.SmartHost{},
			`{"site":"nothing.test","by":"MX","reply":"550 5.1.2 The domain nothing.test does not exist",` + opportunistic + `}`},
		{"a literal", "[10.0.0.9]", nil, outbound.SmartHost{},
			`{"site":"[10.0.0.9]","by":"address literal","hosts":[{"name":"[10.0.0.9]","preference":0,"proven":true,"addresses":["10.0.0.9:25"]}],` + opportunistic + `}`},
		{"a smart host", "x.test", []string{"smart.test. 60 A 10.0.0.7"}, outbound.SmartHost{Host: "smart.test", Port: 587, TLS: "starttls"},
			`{"site":"x.test","by":"smart host","hosts":[{"name":"smart.test","preference":0,"proven":true,"addresses":["10.0.0.7:587"]}],` +
				`"tls":"always; the certificate is verified (starttls)"}`},
		{"ourselves", "x.test", []string{"x.test. 60 MX 10 us.test.", "x.test. 60 MX 20 n.test."}, outbound.SmartHost{},
			`{"site":"x.test","by":"MX","reply":"554 5.4.6 Mail for x.test leads back to this server",` + opportunistic + `}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.records...)
			w.set.SmartHost, w.trustAD = c.smart, true
			w.dns.Prove("signed.test")
			site, err := mail.ParseDomain(c.site)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(w.o.Explain(t.Context(), site, ""))
			if err != nil || string(got) != c.want {
				t.Errorf("%v\n got %s\nwant %s", err, got, c.want)
			}
			if w.dials() != "" {
				t.Errorf("it connected to %s", w.dials())
			}
		})
	}
}
