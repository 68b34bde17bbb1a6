package app

import (
	"fmt"
	"syscall"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/ratelimit"
)

// otherFiles are for all that is no connection from outside and no attempt: stores, their
// readers, listeners, questions to DNS, and the commands of the operator.
const otherFiles = 128 + ratelimit.Spare

// openFiles is how many files and sockets this process may hold at once.
func openFiles() int {
	const many = 1 << 30
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return many // it is found out when it is reached
	}
	return int(min(l.Cur, many))
}

// connectionLimits are those of the settings, as far as there are files for them: without
// a free one neither a body can be read nor an operator be answered.
func connectionLimits(c *config.Config, files int) ratelimit.Limits {
	l := c.Limits.InForce()
	// An attempt may hold its connection and what it sends.
	room := max(files-otherFiles-2*c.Outbound.Concurrency, files/4)
	return ratelimit.Limits{
		Total: min(l.Connections, room), PerAddress: l.ConnectionsPerAddress, PerNetwork: l.ConnectionsPerNetwork,
		Rate: l.ConnectionRate, RatePerAddress: l.ConnectionRatePerAddress, RatePerNetwork: l.ConnectionRatePerNetwork,
	}
}

// tooFewFiles warns where the settings promise more connections than there are files for.
func tooFewFiles(c *config.Config, files int) []string {
	have := connectionLimits(c, files).Total
	if have >= c.Limits.Connections {
		return nil
	}
	return []string{fmt.Sprintf("limits.connections is %d, but a process that may open %d files takes %d at once beside "+
		"outbound.concurrency (%d): let it open more (ulimit -n, or LimitNOFILE= of systemd), or set fewer",
		c.Limits.Connections, files, have, c.Outbound.Concurrency)}
}
