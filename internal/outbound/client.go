package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/socket"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// noKeepAlive has no probes of the kernel's on a connection: whatever is waited for has a
// deadline, and to set the probes up takes four system calls.
const noKeepAlive = -1

// client is one connection to a remote. It belongs to one goroutine at a time.
type client struct {
	conn   net.Conn
	in     *smtp.ReplyReader
	host   string
	addr   netip.AddrPort
	source netip.Addr // of ours, from where it was made
	tls    string     // its version and suite, or why there is none
	known  bool       // nobody can have sent us to another host than the domain means
	domain string     // see target
	rule   rule       // by which it was made
	holds  rule       // for the message at hand
	made   time.Time

	fellBack string // to cleartext, and how TLS failed; empty = it did not

	group, ehlo string // see worker; the name that goes with the address, empty = ours

	site     string // that it served last
	shared   string // under what it is kept for other sites
	way      string // by which it was made, see terms
	provider string // whose host it is; empty = nobody counts
	ended    func() // called once it is closed

	shown           bool     // TLS got as far as the certificate
	asked           string   // what was asked of that last, see rule.asks; empty = nothing was
	verdict         error    // what came of it; nil = it is proven
	failure, reason string   // of TLS, for the report
	counted         []string // sites to which this was a session, of TLS reports
	times           Timeouts
	ext             extensions

	lmtp    bool            // it is spoken (RFC 2033)
	served  int             // transactions begun
	domains map[string]bool // of the recipients, where the host bears so many in a session; nil = none yet
	dirty   bool            // a transaction was left open: RSET is due
	broken  bool            // not to be used again
	leaves  bool            // it ends with the transaction that is under way
	parted  bool            // QUIT was said

	mu    sync.Mutex
	limit time.Time // no deadline goes beyond it: the server stops
	last  time.Time // the deadline that is set
}

// extensions are what EHLO announced.
type extensions struct {
	pipelining, size, eightBit, utf8, startTLS, dsn bool
	chunking, deliverBy, priority, requireTLS       bool
	minBy                                           time.Duration // the shortest time that DELIVERBY allows; 0 = none told
	maxSize                                         int64         // 0 = no limit told
	maxRecipients, maxMails, maxDomains             int           // of LIMITS (RFC 9422); 0 = no limit told
	auth                                            []string
}

func newClient(conn net.Conn, t target, times Timeouts) *client {
	return &client{conn: conn, in: smtp.NewReplyReader(conn), host: t.host, shared: t.host, addr: t.addr, made: time.Now(), source: localOf(conn), known: t.known, domain: t.domain, times: times}
}

// target is where it leads.
func (c *client) target() target {
	return target{host: c.host, addr: c.addr, source: c.source, known: c.known, domain: c.domain}
}

// watch ends all waiting within a grace once ctx is done, until the function
// returned is called.
func (c *client) watch(ctx context.Context, grace time.Duration) func() {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.limit = time.Now().Add(grace)
		if c.last.IsZero() || c.last.After(c.limit) {
			_ = c.conn.SetDeadline(c.limit) // a connection that cannot has ended
		}
	})
	return func() { stop() }
}

// within sets the deadline for what comes next.
func (c *client) within(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now().Add(d)
	if !c.limit.IsZero() && c.last.After(c.limit) {
		c.last = c.limit
	}
	return c.conn.SetDeadline(c.last)
}

// read waits for one reply.
func (c *client) read(d time.Duration) (smtp.Reply, error) {
	if err := c.within(d); err != nil {
		return smtp.Reply{}, c.fail(err)
	}
	reply, err := c.in.Read()
	if err != nil {
		return reply, c.fail(err)
	}
	// RFC 5321 §3.8: 421 announces the end at any place.
	if reply.Code == 421 {
		c.broken = true
	}
	return reply, nil
}

// errEarly says that replies no longer belong to what they seem to answer: each would be
// taken for that to the next command, and one of them for that to a message.
var errEarly = errors.New("it answered what it was not asked")

// errCutShort says that a reply waits in the middle of a message.
var errCutShort = errors.New("it answered before the end")

// errOver says that the host has taken leave, or was given up.
var errOver = errors.New("the connection is over")

// send writes whole lines in one go. All that was asked before is answered.
func (c *client) send(d time.Duration, lines string) error {
	if c.broken {
		return errOver
	}
	if c.in.Buffered() > 0 {
		return c.fail(errEarly)
	}
	if err := c.within(d); err != nil {
		return c.fail(err)
	}
	if _, err := c.conn.Write([]byte(lines)); err != nil {
		return c.fail(err)
	}
	return nil
}

// spoke tells whether the host has said something that nobody has read yet: by one system
// call.
func (c *client) spoke() bool {
	if c.in.Buffered() > 0 {
		return true
	}
	waits := socket.Pending(c.conn) > 0
	if _, secured := c.conn.(*tls.Conn); !secured {
		return waits
	}
	// What waits in the socket may be TLS's own (RFC 8446 §4.6), and a reply may have left
	// it with the one before: a time that is over lets that be seen and the socket alone.
	until := time.Unix(1, 0)
	if waits {
		until = time.Now().Add(glance)
	}
	return c.conn.SetReadDeadline(until) == nil && c.in.Await() == nil
}

// strays tells whether there is a reply too many. 421 is none: it announces the end at any
// place (RFC 5321 §3.8).
func (c *client) strays() bool {
	if c.in.Buffered() == 0 {
		return false
	}
	reply, err := c.read(quitTimeout)
	return err != nil || reply.Code != 421
}

// fail gives a connection up. What is told of its end, to others as well, is without the
// addresses of its ends: ours may be one of the inside, or lead to a proxy.
func (c *client) fail(err error) error {
	c.broken = true
	if op := new(net.OpError); errors.As(err, &op) && op.Addr != nil {
		return op.Err
	}
	return err
}

// ask sends one command and waits for its reply.
func (c *client) ask(d time.Duration, line string) (smtp.Reply, error) {
	if err := c.send(d, line+"\r\n"); err != nil {
		return smtp.Reply{}, err
	}
	return c.read(d)
}

// hello says EHLO, or HELO to a host that does not know it (RFC 5321 §3.2).
func (c *client) hello(name string) (smtp.Reply, error) {
	verb := "EHLO "
	if c.lmtp { // RFC 2033 §4.1
		verb = "LHLO "
	}
	reply, err := c.ask(c.times.Greeting, verb+name)
	if err != nil {
		return reply, err
	}
	c.ext = extensions{}
	switch {
	case reply.Class() == 2:
		c.ext = readExtensions(reply.Lines[1:])
		return reply, nil
	case reply.Class() != 5 || c.broken || c.lmtp:
		return reply, nil
	}
	return c.ask(c.times.Greeting, "HELO "+name)
}

// atOnce is how many recipients one transaction may have.
func (e extensions) atOnce() int {
	if e.maxRecipients > 0 {
		return min(e.maxRecipients, maxRecipients)
	}
	return maxRecipients
}

// welcomes tells whether the host takes recipients of a domain in this session: some take so
// many different ones (RFC 9422 §4.3, RCPTDOMAINMAX).
func (c *client) welcomes(domain string) bool {
	return c.ext.maxDomains == 0 || c.domains[domain] || len(c.domains) < c.ext.maxDomains
}

// addressed notes that a recipient of a domain is given to the host.
func (c *client) addressed(domain string) {
	switch {
	case c.ext.maxDomains == 0:
		return
	case c.domains == nil:
		c.domains = map[string]bool{}
	}
	c.domains[domain] = true
}

func readExtensions(lines []string) extensions {
	var e extensions
	for _, line := range lines {
		words := strings.Fields(strings.ToUpper(line))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "PIPELINING":
			e.pipelining = true
		case "8BITMIME":
			e.eightBit = true
		case "SMTPUTF8":
			e.utf8 = true
		case "STARTTLS":
			e.startTLS = true
		case "DSN":
			e.dsn = true
		case "SIZE":
			e.size = true
			if len(words) > 1 {
				e.maxSize, _ = strconv.ParseInt(words[1], 10, 64) // malformed = no limit told
			}
		case "CHUNKING":
			e.chunking = true
		case "DELIVERBY":
			e.deliverBy = true
			if len(words) > 1 { // RFC 2852 §2
				first, _, _ := strings.Cut(words[1], ",")
				seconds, _ := strconv.ParseUint(first, 10, 30) // malformed = none told
				e.minBy = time.Duration(seconds) * time.Second
			}
		case "MT-PRIORITY":
			e.priority = true
		case "REQUIRETLS":
			e.requireTLS = true
		case "LIMITS":
			e.maxRecipients, e.maxMails, e.maxDomains = limit(words, "RCPTMAX="), limit(words, "MAILMAX="), limit(words, "RCPTDOMAINMAX=")
		case "AUTH":
			e.auth = append(e.auth, words[1:]...)
		}
	}
	return e
}

// limit reads one of the numbers of LIMITS; malformed = no limit told.
func limit(words []string, name string) int {
	for _, w := range words {
		if text, has := strings.CutPrefix(w, name); has {
			n, _ := strconv.ParseUint(text, 10, 20)
			return int(n)
		}
	}
	return 0
}

// secure does the TLS handshake on the connection.
func (c *client) secure(ctx context.Context, config *tls.Config) error {
	if err := c.within(c.times.Greeting); err != nil {
		return c.fail(err)
	}
	// RFC 3207 §5: what came before the handshake counts for nothing.
	if c.in.Buffered() > 0 {
		return c.fail(errInjected)
	}
	secured := tls.Client(c.conn, config)
	err := secured.HandshakeContext(ctx)
	if s := secured.ConnectionState(); s.CipherSuite != 0 {
		c.tls, c.shown = tlsWords(s), true
	}
	refused, unproven := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case unproven:
		c.asked, c.verdict = "PKIX", refused.Err
	case err == nil && !config.InsecureSkipVerify:
		c.asked = "PKIX"
	}
	if err != nil {
		return c.fail(err)
	}
	c.conn, c.in = secured, smtp.NewReplyReader(secured)
	return nil
}

// judge tells whether the certificate proves the host as a rule asks. It is not looked at
// again for what was asked last.
func (c *client) judge(r rule, t *tls.Conn) error {
	if r.verify == nil {
		return nil
	}
	if c.asked != r.asks {
		c.asked, c.verdict = r.asks, r.verify(t.ConnectionState())
	}
	return c.verdict
}

// tlsWords names what a handshake came to.
func tlsWords(s tls.ConnectionState) string {
	return fmt.Sprintf("%s %s", strings.ReplaceAll(tls.VersionName(s.Version), "TLS ", "TLSv"), tls.CipherSuiteName(s.CipherSuite))
}

// trace is what is told of TLS with a message.
func (c *client) trace() string {
	if !c.shown {
		return c.tls
	}
	r := c.holds.asking()
	switch {
	case r.verify == nil:
		return c.tls + ", not verified: nothing asks for it"
	case c.asked != r.asks:
		return c.tls + ", not verified: it did not come to that (" + r.by() + ")"
	case c.verdict != nil:
		return c.tls + ", not verified: " + reason(c.verdict) + " (" + r.by() + ")"
	}
	return c.tls + ", verified (" + r.by() + ")"
}

const quitLine = "QUIT\r\n"

// quit takes leave.
func (c *client) quit() {
	if !c.broken && !c.parted {
		c.parted = c.send(quitTimeout, quitLine) == nil
	}
	if !c.broken {
		_, _ = c.read(quitTimeout) // it is over whatever the answer is
	}
	c.close()
}

func (c *client) close() {
	c.broken = true
	_ = c.conn.Close() // nothing that matters is still to be written
	if c.ended != nil {
		c.ended()
		c.ended = nil
	}
}
