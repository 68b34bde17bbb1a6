package mail

import (
	"errors"
	"strings"
	"sync"
	"time"
)

// ID names a message, body, event, account or mailbox: 63 bits, ordered by
// time, unique over nodes, never reused. From the top: 41 bits of milliseconds
// since 2024 (69 years), 8 bits of node, 14 bits of sequence. Zero is no id.
type ID int64

const (
	idEpochMilli = 1704067200000 // 2024-01-01T00:00:00Z
	idNodeBits   = 8
	idSeqBits    = 14
)

// idAlphabet is Crockford's base 32 in lower case: no i, l, o, u to misread.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// ErrID says that a text is no id.
var ErrID = errors.New("not an id (13 letters and digits)")

// String returns the 13 characters by which people and logs name the id. Their
// order is the order of the ids.
func (id ID) String() string {
	var b [13]byte
	v := uint64(id)
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = idAlphabet[v&31]
		v >>= 5
	}
	return string(b[:])
}

// MarshalText makes ids readable in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	*id = v
	return err
}

// ParseID is the inverse of ID.String; it ignores case.
func ParseID(s string) (ID, error) {
	if len(s) != 13 {
		return 0, ErrID
	}
	var v uint64
	for n, c := range []byte(s) {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		i := strings.IndexByte(idAlphabet, c)
		if i < 0 || n == 0 && i > 7 { // 13 characters have 65 bits, an id has 63
			return 0, ErrID
		}
		v = v<<5 | uint64(i)
	}
	return ID(v), nil
}

// Time returns when the id was made, to the millisecond, by the clock of the
// node that made it.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(id)>>(idNodeBits+idSeqBits) + idEpochMilli)
}

// IDs makes ids. They grow even when the clock steps back: the generator then
// counts on from its last id.
type IDs struct {
	node int64
	mu   sync.Mutex
	last int64 // milliseconds<<seqBits | sequence
}

// NewIDs returns a generator for a node (0 to 255) whose ids are all larger
// than after, the largest id that is known to exist (0 = none).
func NewIDs(node uint8, after ID) *IDs {
	ms := int64(after) >> (idNodeBits + idSeqBits)
	g := &IDs{node: int64(node)}
	if after > 0 {
		// The node bits lie below the time, so only a later tick is surely larger.
		g.last = (ms + 1) << idSeqBits
	}
	return g
}

// Next returns a new id.
func (g *IDs) Next() ID {
	now := (time.Now().UnixMilli() - idEpochMilli) << idSeqBits
	g.mu.Lock()
	g.last = max(g.last+1, now)
	v := g.last
	g.mu.Unlock()
	ms, seq := v>>idSeqBits, v&(1<<idSeqBits-1)
	return ID(ms<<(idNodeBits+idSeqBits) | g.node<<idSeqBits | seq)
}

// FirstID returns the smallest id that can have been made at t or later.
func FirstID(t time.Time) ID {
	return ID(max(0, t.UnixMilli()-idEpochMilli) << (idNodeBits + idSeqBits))
}
