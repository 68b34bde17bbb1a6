package tlsreport

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Bounds of what is kept: of one domain on one day, in memory and in the table; and
// in memory in all.
const (
	maxPolicies = 20
	maxFailures = 100

	maxRows   = 20_000
	maxOctets = 16 << 20
)

// key is whose results they are, and of which day.
type key struct {
	day    int64
	domain string
}

// row counts what is alike: all connections under a policy, or those that failed in
// one way.
type row struct {
	body              string // the policy or the failure, as JSON
	succeeded, failed int64
}

// rowKey names a row of a domain by fingerprints: what is counted under a policy as a
// whole has no failure.
type rowKey struct{ policy, failure string }

// mark is a fingerprint.
func mark(v any) (id, body string) {
	b, _ := json.Marshal(v) // of texts and numbers, which cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), string(b)
}

// results are those of one domain and day.
type results struct {
	rows               map[rowKey]row
	policies, failures int
}

// memory holds what is not in the table yet.
type memory struct {
	days         map[key]*results
	rows, octets int
}

func newMemory() memory { return memory{days: map[key]*results{}} }

// add counts, and tells whether there was room for that.
func (m *memory) add(k key, id rowKey, more row) bool {
	of, ok := m.days[k]
	if !ok {
		of = &results{rows: map[rowKey]row{}}
	}
	have, known := of.rows[id]
	if !known {
		size := len(more.body) + len(k.domain) + 200
		if m.rows >= maxRows || m.octets+size > maxOctets || !of.take(id) {
			return false
		}
		m.rows, m.octets, m.days[k] = m.rows+1, m.octets+size, of
		have.body = more.body
	}
	have.succeeded += more.succeeded
	have.failed += more.failed
	of.rows[id] = have
	return true
}

// take claims room for a new row of a domain.
func (of *results) take(id rowKey) bool {
	switch {
	case id.failure == "" && of.policies < maxPolicies:
		of.policies++
	case id.failure != "" && of.failures < maxFailures:
		of.failures++
	default:
		return false
	}
	return true
}

// half tells whether it is time to store.
func (m *memory) half() bool { return m.rows > maxRows/2 || m.octets > maxOctets/2 }
