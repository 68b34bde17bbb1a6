package sts

import "time"

// Bounds of what is remembered.
const (
	maxEntries = 10_000
	maxOctets  = 16 << 20
)

// entry is what is known of a domain.
type entry struct {
	Held
	again time.Time // when it is looked at anew
}

// size is about how much memory it takes.
func (e entry) size() int {
	n := 256 + len(e.Reason) + len(e.Cause)
	for _, mx := range e.MX {
		n += 16 + len(mx)
	}
	return n
}

// memory holds the entries of late.
type memory struct {
	entries map[string]entry
	octets  int
}

func (m *memory) put(domain string, e entry, now time.Time) {
	m.drop(domain)
	if len(m.entries) >= maxEntries || m.octets+e.size() > maxOctets {
		m.evict(now)
	}
	m.entries[domain] = e
	m.octets += e.size()
}

func (m *memory) drop(domain string) {
	if e, ok := m.entries[domain]; ok {
		m.octets -= e.size()
		delete(m.entries, domain)
	}
}

// evict makes room: those that have to be looked at anew go, and if that is not
// enough, any do. Each can be read from the table again.
func (m *memory) evict(now time.Time) {
	for domain, e := range m.entries {
		if !now.Before(e.again) {
			m.drop(domain)
		}
	}
	for domain := range m.entries {
		if len(m.entries) <= maxEntries*9/10 && m.octets <= maxOctets*9/10 {
			return
		}
		m.drop(domain)
	}
}
