package outbound_test

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestDeliverBy: what a remote is told of the sender's time, and which remote may
// have the message at all (RFC 2852 §4.1.4). What is near a bound is in
// TestTimesOfDeliverBy.
func TestDeliverBy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left     time.Duration
		by       mail.DeliverBy
		notify   mail.Notify
		keywords string
		want     string
		mode     string // of BY; empty = MAIL has no parameters
		rcpt     string
		watches  bool
	}{
		"handed on":             {left: time.Hour, by: mail.DeliverBy{Return: true}, keywords: "DELIVERBY", want: good, mode: "R", watches: true},
		"with its trace":        {left: time.Hour, by: mail.DeliverBy{Trace: true}, keywords: "DELIVERBY 240", want: good, mode: "NT", watches: true},
		"over, and told":        {left: -time.Minute, keywords: "DELIVERBY", want: good, mode: "N", watches: true},
		"nobody watches":        {left: time.Hour, keywords: "DSN", want: good, rcpt: "NOTIFY=FAILURE,DELAY"},
		"success is wanted too": {left: time.Hour, notify: mail.NotifySuccess, keywords: "DSN", want: good, rcpt: "NOTIFY=SUCCESS,DELAY"},
		"nothing is wanted":     {left: time.Hour, notify: mail.NotifyNever, keywords: "DSN", want: good, rcpt: "NOTIFY=NEVER"},
		"no host for it":        {left: time.Hour, by: mail.DeliverBy{Return: true}, keywords: "DSN", want: "failed 554 5.3.3 ours"},
		"a slow host":           {left: time.Hour, by: mail.DeliverBy{Return: true}, keywords: "DELIVERBY 7200", want: "failed 554 5.4.7 ours"},
		"a host fast enough":    {left: time.Hour, by: mail.DeliverBy{Return: true}, keywords: "DELIVERBY 1800", want: good, mode: "R", watches: true},
		"too late":              {left: -time.Second, by: mail.DeliverBy{Return: true}, keywords: "DELIVERBY", want: "deferred 451 4.4.7 ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.mx(testkit.MXOptions{Keywords: []string{"PIPELINING", "ENHANCEDSTATUSCODES", c.keywords}})
			job := w.job("a@x.test")
			before := time.Now()
			c.by.At = mail.Micros(before.Add(c.left))
			job.Message.By, job.Recipients[0].Notify = c.by, c.notify
			got := w.deliver(t.Context(), job)[0]
			w.want(got, c.want)
			if got[0].Watches != c.watches {
				t.Errorf("watches: %v", got[0].Watches)
			}
			if c.want != good {
				if len(m.Messages()) != 0 {
					t.Error("the host got it")
				}
				return
			}
			sent := w.only(m)
			if params := strings.Join(sent.Params, " "); !told(params, c.mode, c.left-time.Since(before), c.left) {
				t.Errorf("MAIL %q, want the mode %q and what was left of %v at some time within %v", params, c.mode, c.left, time.Since(before))
			}
			if params := strings.Join(sent.Recipients[0].Params, " "); params != c.rcpt {
				t.Errorf("RCPT %q, want %q", params, c.rcpt)
			}
		})
	}
}

// told tells whether parameters of MAIL are a BY of that mode whose whole seconds were
// left between two times; without a mode, whether there are none.
func told(params, mode string, least, most time.Duration) bool {
	if mode == "" {
		return params == ""
	}
	seconds, found := strings.CutSuffix(params, ";"+mode)
	seconds, begins := strings.CutPrefix(seconds, "BY=")
	n, err := strconv.ParseFloat(seconds, 64)
	return found && begins && err == nil && n >= math.Floor(least.Seconds()) && n <= math.Floor(most.Seconds())
}

// only is the one message that a host got.
func (w *world) only(m *testkit.MX) testkit.MXMessage {
	w.t.Helper()
	all := m.Messages()
	if len(all) != 1 {
		w.t.Fatalf("the host got %d messages", len(all))
	}
	return all[0]
}

// TestPriorityIsHandedOn to those who know it (RFC 6710 §4.2).
func TestPriorityIsHandedOn(t *testing.T) {
	t.Parallel()
	for _, p := range []mail.Priority{-9, 0, 3} {
		for keyword, want := range map[string]string{"MT-PRIORITY": map[mail.Priority]string{-9: "MT-PRIORITY=-9", 0: "MT-PRIORITY=0", 3: "MT-PRIORITY=3"}[p], "DSN": ""} {
			w := newWorld(t)
			m := w.mx(testkit.MXOptions{Keywords: []string{"PIPELINING", "ENHANCEDSTATUSCODES", keyword}})
			job := w.job("a@x.test")
			job.Message.Priority = p
			w.want(w.deliver(t.Context(), job)[0], good)
			if got := strings.Join(m.Messages()[0].Params, " "); got != want {
				t.Errorf("%d to one with %s: %q", p, keyword, got)
			}
		}
	}
}

// TestRequireTLS: nobody gets the message who does not prove who he is and promise
// to hand it on like that (RFC 8689 §4.2.1).
func TestRequireTLS(t *testing.T) {
	t.Parallel()
	ca, strangers := testkit.NewCA(t), testkit.NewCA(t)
	promise := []string{"PIPELINING", "ENHANCEDSTATUSCODES", "REQUIRETLS"}
	for name, c := range map[string]struct {
		keywords     []string
		ca           *testkit.CA
		cert         string
		smart, plain bool
		mx           bool // the domain has an MX record, and not only an address
		proven       bool // its DNSSEC is right
		distrust     bool // and nobody may believe the resolver
		report       bool
		want         string
	}{
		"a smart host":            {keywords: promise, ca: ca, cert: "mx.x.test", smart: true, want: good},
		"a domain without MX":     {keywords: promise, ca: ca, cert: "x.test", want: good},
		"an MX that is proven":    {keywords: promise, ca: ca, cert: "mx.x.test", mx: true, proven: true, want: good},
		"an MX that is not":       {keywords: promise, ca: ca, cert: "mx.x.test", mx: true, want: "failed 530 5.7.10 ours"},
		"a resolver not trusted":  {keywords: promise, ca: ca, cert: "mx.x.test", mx: true, proven: true, distrust: true, want: "failed 530 5.7.10 ours"},
		"no TLS":                  {keywords: promise, plain: true, want: "failed 530 5.7.10 ours"},
		"another's certificate":   {keywords: promise, ca: ca, cert: "other.test", want: "failed 530 5.7.10 ours"},
		"a certificate of nobody": {keywords: promise, ca: strangers, cert: "x.test", want: "failed 530 5.7.10 ours"},
		"no promise":              {keywords: promise[:2], ca: ca, cert: "x.test", want: "failed 550 5.7.30 ours"},
		"a report, no promise":    {keywords: promise[:2], ca: ca, cert: "x.test", report: true, want: good},
		"a report, no TLS":        {keywords: promise, plain: true, report: true, want: "failed 530 5.7.10 ours"},
		"a report, to a stranger": {keywords: promise, ca: strangers, cert: "x.test", report: true, want: "failed 530 5.7.10 ours"},
		"a report, an MX":         {keywords: promise, ca: ca, cert: "mx.x.test", mx: true, report: true, want: "failed 530 5.7.10 ours"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "x.test. 60 A 10.0.0.1", "mx.x.test. 60 A 10.0.0.1")
			w.tls, w.trustAD = ca.ClientConfig(""), !c.distrust
			o := testkit.MXOptions{Keywords: c.keywords}
			if !c.plain {
				o.TLS = c.ca.ServerConfig(t, c.cert)
			}
			if c.mx {
				w.dns.Add("x.test. 60 MX 10 mx.x.test.")
			}
			if c.proven {
				w.dns.Prove("x.test")
			}
			m := testkit.StartMX(t, o)
			w.route("10.0.0.1:25", m)
			if c.smart {
				w.set.SmartHost = outbound.SmartHost{Host: "mx.x.test", Port: 25}
			}
			plain, secret := w.job("a@x.test"), w.job("b@x.test")
			secret.Message.RequireTLS = true
			if c.report {
				secret.Message.From = mail.Address{}
			}
			got := w.deliver(t.Context(), plain, secret, w.job("c@x.test"))
			w.want(got[0], good)
			w.want(got[1], c.want)
			w.want(got[2], good)
			for _, sent := range m.Messages() {
				wants := sent.Recipients[0].Address == "b@x.test" && len(c.keywords) == len(promise)
				if has := strings.Contains(strings.Join(sent.Params, " "), "REQUIRETLS"); has != wants {
					t.Errorf("to %s: %v", sent.Recipients[0].Address, sent.Params)
				}
			}
		})
	}
}

// TestRequireTLSTriesAllHosts: one that cannot does not speak for the others, and
// one that is away may still be the right one.
func TestRequireTLSTriesAllHosts(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		ca := testkit.NewCA(t)
		w := newWorld(t, "x.test. 60 MX 10 one.x.test.", "x.test. 60 MX 20 two.x.test.", "one.x.test. 60 A 10.0.0.1", "two.x.test. 60 A 10.0.0.2")
		w.dns.Prove("x.test")
		w.tls, w.trustAD = ca.ClientConfig(""), true
		w.route("10.0.0.1:25", testkit.StartMX(t, testkit.MXOptions{}))
		two := testkit.StartMX(t, testkit.MXOptions{Keywords: []string{"ENHANCEDSTATUSCODES", "REQUIRETLS"}, TLS: ca.ServerConfig(t, "two.x.test")})
		want := good
		if away {
			want = "deferred 451 4.4.1 ours"
		} else {
			w.route("10.0.0.2:25", two)
		}
		job := w.job("a@x.test")
		job.Message.RequireTLS = true
		got := w.deliver(t.Context(), job)[0]
		w.want(got, want)
		if !away && (got[0].Host != "two.x.test" || got[0].Result != queue.Delivered) {
			t.Errorf("%+v", got)
		}
	}
}

// TestRequireTLSWaits: what passes refuses no message that requires TLS, neither TLS that
// failed nor a policy that cannot be had.
func TestRequireTLSWaits(t *testing.T) {
	t.Parallel()
	const waits = "deferred 450 4.7.10 ours"
	for name, c := range map[string]struct {
		rule   testkit.MXRule
		policy string         // its mode; empty = DNSSEC proves the MX
		fault  func(*policed) // of the policy
		plain  bool           // no STARTTLS, as long as the fault lasts or not
		want   string
		then   string // an hour later, when it has passed
		why    string
	}{
		"STARTTLS is refused": {rule: testkit.MXRule{Command: "STARTTLS", Reply: "454 4.7.0 Not now"}, want: waits, then: good, why: "which failed with mx.x.test: STARTTLS was refused: 454 Not now"},
		"STARTTLS is cut":     {rule: testkit.MXRule{Command: "STARTTLS", Drop: true}, want: waits, then: good, why: "which failed with mx.x.test: STARTTLS: connection closed by the remote"},
		"the policy's record cannot be had": {policy: "enforce", fault: func(p *policed) { p.dns.Fail("_mta-sts.x.test", testkit.DNSServFail) },
			want: waits, then: good, why: "the TXT record that announces a policy cannot be looked up"},
		"a policy was not known a minute ago": {policy: "enforce", fault: func(p *policed) {
			p.dns.Fail("_mta-sts.x.test", testkit.DNSServFail)
			p.send("b@x.test")
			p.dns.Fail("_mta-sts.x.test", testkit.NoFault)
		}, want: waits, then: good, why: "could not be fetched yet"},
		"there is no policy":       {policy: "enforce", fault: func(p *policed) { p.publish("", "enforce", "mx.x.test") }, want: "failed 530 5.7.10 ours", then: good, why: "nothing proves"},
		"the policy cannot be had": {policy: "enforce", fault: func(p *policed) { p.web.Publish("x.test", "hello") }, want: waits, then: good, why: "it cannot be told for now"},
		"a policy that proves nothing, and no newer one can be had": {policy: "testing", fault: func(p *policed) {
			p.send("b@x.test")
			p.publish("2", "enforce", "mx.x.test")
			p.web.Publish("x.test", "hello")
			p.pass(time.Hour)
		}, want: waits, then: good, why: "it cannot be told for now"},
		"the policy cannot be had, and there is no TLS": {policy: "enforce", fault: func(p *policed) { p.web.Publish("x.test", "hello") }, plain: true,
			want: "failed 530 5.7.10 ours", then: "deferred 454 4.7.4 ours", why: "which cannot be had"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPoliced(t)
			p.trustAD = true
			o := testkit.MXOptions{Keywords: []string{"ENHANCEDSTATUSCODES", "REQUIRETLS"}}
			if !c.plain {
				o.TLS = p.ca.ServerConfig(t, "mx.x.test")
			}
			m := p.mx(o, c.rule)
			if c.policy == "" {
				p.dns.Prove("x.test")
			} else {
				p.publish("1", c.policy, "mx.x.test")
			}
			if c.fault != nil {
				c.fault(p)
			}
			send := func() []queue.Outcome {
				job := p.job("a@x.test")
				job.Message.RequireTLS = true
				return p.deliver(t.Context(), job)[0]
			}
			got := send()
			p.want(got, c.want)
			if !strings.Contains(got[0].Reply, c.why) {
				t.Errorf("%q", got[0].Reply)
			}
			m.SetRules()
			p.dns.Fail("_mta-sts.x.test", testkit.NoFault)
			if c.policy != "" {
				p.publish("3", "enforce", "mx.x.test")
			}
			p.pass(time.Hour)
			p.want(send(), c.then)
		})
	}
}
