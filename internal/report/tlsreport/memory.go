package tlsreport

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
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
	id                rowKey
	body              string // the policy or the failure, as JSON
	succeeded, failed int64
}

// rowKey names a row of a domain by fingerprints: what is counted under a policy as a
// whole has no failure.
type rowKey struct{ policy, failure string }

// compare gives the order of the table's key: each policy comes before its failures.
func (k rowKey) compare(other rowKey) int {
	return cmp.Or(cmp.Compare(k.policy, other.policy), cmp.Compare(k.failure, other.failure))
}

// mark is a fingerprint.
func mark(v any) (id, body string) {
	b, _ := json.Marshal(v) // of texts and numbers, which cannot fail
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), string(b)
}

// results are those of one domain and day.
type results struct {
	rows               []row // in the order of their ids; of most domains one or two
	policies, failures int
}

// find tells where a row is, or belongs.
func (of *results) find(id rowKey) (at int, known bool) {
	return slices.BinarySearchFunc(of.rows, id, func(r row, id rowKey) int { return r.id.compare(id) })
}

// memory holds what is not in the table yet.
type memory struct {
	days         map[key]*results
	rows, octets int
}

func newMemory() memory { return memory{days: map[key]*results{}} }

// add counts, and tells whether there was room for that.
func (m *memory) add(k key, more row) bool {
	of, ok := m.days[k]
	if !ok {
		of = &results{}
	}
	at, known := of.find(more.id)
	if known {
		of.rows[at].succeeded += more.succeeded
		of.rows[at].failed += more.failed
		return true
	}
	size := len(more.body) + len(k.domain) + 200
	if m.rows >= maxRows || m.octets+size > maxOctets || !of.take(more.id) {
		return false
	}
	of.rows = slices.Insert(of.rows, at, more)
	m.rows, m.octets, m.days[k] = m.rows+1, m.octets+size, of
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
