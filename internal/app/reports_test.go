package app_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/app"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestTLSIsCounted: what the last connection before a stop came to is in the table,
// and not what was made while reports were off.
func TestTLSIsCounted(t *testing.T) {
	t.Parallel()
	h := newEmbedded(t)
	mx := testkit.StartMX(t, testkit.MXOptions{TLS: testkit.NewCA(t).ServerConfig(t, "mx.far.test")})
	_, port, _ := net.SplitHostPort(mx.Addr)
	dns := testkit.StartDNS(t, "far.test. 60 MX 10 mx.far.test.", "mx.far.test. 60 A 127.0.0.1")
	settings := func(on bool) {
		h.put(strings.Replace(h.text(fmt.Sprintf("[outbound]\nport = %s\nidle_timeout = \"0\"\n[reports]\ntls = %v\n", port, on)), "127.0.0.1:9", dns.Addr, 1))
	}
	settings(true)
	s := h.serve()
	letter(t, h)
	mx.WaitMessages(1, patience)
	if told := reports(t, h); len(told) != 0 {
		t.Errorf("stored at once: %+v", told)
	}
	settings(false)
	s.reloaded(reloadDone)
	letter(t, h)
	mx.WaitMessages(2, patience)
	s.stop()
	if told := reports(t, h); len(told) != 1 || told[0].Domain != "far.test" || told[0].State != "waiting" || told[0].Next == "" {
		t.Errorf("%+v", told)
	}
	var domain string
	var succeeded, failed int
	h.sql(func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT domain, succeeded, failed FROM tls_result"), nil, &domain, &succeeded, &failed)
	})
	if domain != "far.test" || succeeded != 1 || failed != 0 {
		t.Errorf("%q: %d secured, %d not", domain, succeeded, failed)
	}
}

// letter sends a message to far.test.
func letter(t *testing.T, h *home) {
	t.Helper()
	letterTo(t, h, "x@far.test")
}

func letterTo(t *testing.T, h *home, to string) {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := control.Send(t.Context(), client, control.Outgoing{Recipients: []string{to}, Message: strings.NewReader("Subject: hi\r\n\r\nHello\r\n")}); err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}

func reports(t *testing.T, h *home) []control.SentReport {
	t.Helper()
	client, done, err := app.Control(t.Context(), h.config(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	list, err := control.Ask(t.Context(), client, control.OutboundReports, control.Empty{})
	if err != nil {
		t.Error(err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	return list
}
