package load

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// manyDomains is how many destinations the rows have that send each one message.
const manyDomains = 10_000

// relaying is one shape of the rows that send mail on. The numbers of messages are
// what a server does in some seconds.
type relaying struct {
	suffix       string // of the names of its rows
	size         int    // octets of a message; 0 = as everywhere
	domains      int    // destinations, each with a host of its own; 0 = one
	calls        bool   // the system calls are counted
	theirs, ours int
}

func relayings() []relaying {
	return []relaying{
		{suffix: "", theirs: 3000, ours: 12000},
		{suffix: "-100k", size: 100 << 10, theirs: 1500, ours: 4000},
		{suffix: "-domains", domains: manyDomains, theirs: manyDomains, ours: manyDomains},
		{suffix: "-calls", calls: true, theirs: 3000, ours: 8000},
	}
}

// relayRows puts the rows that are compared beside each other.
func (b *bench) relayRows(h *hayaumaRows, postfix, ours string) []row {
	large := relaying{size: 100 << 10, ours: 8000}
	rows := []row{
		{name: "ceiling-100k", run: func(ctx context.Context, _ string) (*Result, error) { return b.ceilingOf(ctx, large) }},
		{name: "smtp-sink-100k", missing: smtpSinkMissing(), run: func(ctx context.Context, dir string) (*Result, error) {
			return b.smtpSink(ctx, dir, large)
		}},
	}
	for _, r := range relayings() {
		kind, missing := "", ""
		if r.calls {
			kind, missing = kindCalls, callsMissing()
		}
		rows = append(rows,
			row{name: "postfix-relay" + r.suffix, kind: kind, missing: cmp.Or(postfix, missing), run: func(ctx context.Context, dir string) (*Result, error) {
				return b.postfixRelay(ctx, dir, r)
			}},
			row{name: "hayauma-relay" + r.suffix, kind: kind, missing: cmp.Or(ours, missing), run: func(ctx context.Context, dir string) (*Result, error) {
				return h.relay(ctx, dir, r)
			}})
	}
	return rows
}

// source is what a row sends.
func (r relaying) source(b *bench, addr string, messages int) Source {
	s := b.to(addr, remoteDomain, messages)
	s.Size = cmp.Or(r.size, s.Size)
	if r.domains > 0 {
		s.Domains, s.Mailboxes = r.domains, r.domains
	}
	return s
}

// sink starts what the mail goes to.
func (r relaying) sink(ctx context.Context) (*Sink, error) {
	s := &Sink{Addr: "127.0.0.1:0", Everywhere: r.domains > 0}
	return s, s.Start(ctx)
}

func (b *bench) ceilingOf(ctx context.Context, r relaying) (*Result, error) {
	sink, err := r.sink(ctx)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	return drive{source: r.source(b, sink.Address(), r.ours), warm: b.warm()}.run(ctx)
}

func (b *bench) postfixRelay(ctx context.Context, dir string, r relaying) (*Result, error) {
	sink, err := r.sink(ctx)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	setup, err := postfixRelay(sink.Address())
	if r.domains > 0 {
		ns, nsErr := startNameserver(ctx, nameserverPort53)
		if nsErr != nil {
			return nil, nsErr
		}
		defer ns.stop()
		setup, err = postfixDomains(dir, sink.Address(), r.domains)
	}
	if err != nil {
		return nil, err
	}
	p, err := startPostfix(ctx, dir, setup)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	return r.run(ctx, r.source(b, p.smtp, r.theirs), b.warm(), dir, p.pid(), sink)
}

func (h *hayaumaRows) relay(ctx context.Context, dir string, r relaying) (*Result, error) {
	sink, err := r.sink(ctx)
	if err != nil {
		return nil, err
	}
	defer sink.Close()
	s, stop, err := h.start(ctx, dir, hayaumaSetup{remote: sink.Address()})
	if err != nil {
		return nil, err
	}
	defer stop()
	return r.run(ctx, r.source(h.bench, s.smtp, r.ours), h.warm(), dir, s.pid(), sink)
}

func (r relaying) run(ctx context.Context, s Source, warm int, dir string, pid int, sink *Sink) (*Result, error) {
	if r.calls {
		return countCalls(ctx, s, dir, pid, sink.Wait)
	}
	return drive{source: s, warm: warm, pids: []int{pid}, settled: sink.Wait}.run(ctx)
}

// postfixDomains sends each domain to the host that its MX record names, at the port of
// the sink.
func postfixDomains(dir, sink string, domains int) (postfixSetup, error) {
	_, port, err := net.SplitHostPort(sink)
	if err != nil {
		return postfixSetup{}, err
	}
	var table strings.Builder
	for i := range domains {
		name := domainOf(i, remoteDomain)
		fmt.Fprintf(&table, "%s smtp:%s:%s\n", name, name, port)
	}
	path := filepath.Join(dir, "transport")
	if err := os.WriteFile(path, []byte(table.String()), 0o644); err != nil {
		return postfixSetup{}, err
	}
	return postfixSetup{main: "transport_maps = texthash:" + path + "\n", nameserver: nameserverPort53}, nil
}

// domainOf and addressOf are one of many destinations.
func domainOf(i int, parent string) string { return fmt.Sprintf("d%d.%s", i, parent) }

func addressOf(i int) net.IP { return net.IPv4(127, 1, byte(i>>8), byte(i)) }
