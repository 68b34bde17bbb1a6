package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// The index at the start of an object is text of a length that follows from the
// number of bodies:
//
//	hayauma bodies 1 00002
//	body 04qe0v2c00001 000000000401 000000005120 message tenant account mailbox 0001774000000000
//	body ...
//	sum 0123456789abcdef0123456789abcdef
//
// A line of a body holds its id, where it starts in the object, its octets, the
// ids of blob.Meta and its time in microseconds. sum is over all lines above.
const (
	indexFirst = len("hayauma bodies 1 00000\n")
	indexLine  = len("body ") + 13 + 2*(1+12) + 4*(1+13) + 1 + 16 + 1
	indexSum   = len("sum ") + 2*sumLen + 1
	timeMax    = 9_999_999_999_999_999
)

// indexed is what the index says of a body.
type indexed struct {
	id            mail.ID
	start, length int64
	meta          blob.Meta
}

// indexLen is how long the index of an object with n bodies is.
func indexLen(n int) int64 { return int64(indexFirst + n*indexLine + indexSum) }

// appendIndex appends the index of an object.
func appendIndex(dst []byte, bodies []indexed) []byte {
	from := len(dst)
	dst = fmt.Appendf(dst, "hayauma bodies 1 %05d\n", len(bodies))
	for _, b := range bodies {
		m := b.meta
		dst = fmt.Appendf(dst, "body %s %012d %012d %s %s %s %s %016d\n",
			b.id, b.start, b.length, m.Message, m.Tenant, m.Account, m.Mailbox, min(max(0, m.Time), timeMax))
	}
	sum := sha256.Sum256(dst[from:])
	dst = append(dst, "sum "...)
	dst = hex.AppendEncode(dst, sum[:sumLen])
	return append(dst, '\n')
}
