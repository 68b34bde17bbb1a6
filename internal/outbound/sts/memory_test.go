package sts

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

// TestMemoryIsBounded, whatever domains publish and however many are asked for.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Now()
	large := entry{Held: Held{Policy: mtasts.Policy{MX: strings.Fields(strings.Repeat("mail.example.test ", 3000))}}, again: now.Add(time.Minute)}
	small := entry{again: now.Add(time.Minute)}
	for name, c := range map[string]struct {
		entry entry
		many  int
	}{"many": {small, 3 * maxEntries}, "large": {large, 3 * maxOctets / large.size()}, "old": {entry{again: now.Add(-time.Minute)}, 3 * maxEntries}} {
		m := memory{entries: map[string]entry{}}
		for i := range c.many {
			domain := fmt.Sprint(i)
			m.put(domain, c.entry, now)
			m.put(domain, c.entry, now) // again: it counts once
			if _, ok := m.entries[domain]; !ok {
				t.Fatalf("%s: the last one is not remembered", name)
			}
			if len(m.entries) > maxEntries || m.octets > maxOctets {
				t.Fatalf("%s: %d entries of %d octets", name, len(m.entries), m.octets)
			}
		}
		for domain := range m.entries {
			m.drop(domain)
		}
		if m.octets != 0 {
			t.Errorf("%s: %d octets of nothing", name, m.octets)
		}
	}
}
