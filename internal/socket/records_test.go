package socket_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/socket"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestRecords: where a record ends is known however its octets come, and what is shut
// takes none of them.
func TestRecords(t *testing.T) {
	t.Parallel()
	const handshake, data = "\x16\x03\x01\x01\x02", "\x17\x03\x03\x00\x03abc"
	stream := handshake + strings.Repeat("x", 0x102) + "\x15\x03\x03\x00\x00" + data + data
	ends := map[int]bool{0: true, 263: true, 268: true, 276: true, 284: true}
	for size := 1; size <= len(stream); size++ {
		client, server := testkit.MemPipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
		if _, err := io.WriteString(client, stream); err != nil {
			t.Fatal(err)
		}
		r := &socket.Records{Conn: server}
		buf := make([]byte, size)
		for at := 0; at < len(stream); {
			r.Shut = true
			if n, err := r.Read(buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("shut: %d, %v", n, err)
			}
			if got := socket.Pending(r); got != len(stream)-at {
				t.Fatalf("%d octets wait, want %d", got, len(stream)-at)
			}
			r.Shut = false
			n, err := r.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if at += n; r.Partial() == ends[at] {
				t.Fatalf("%d octets at a time: behind %d partial is %v", size, at, r.Partial())
			}
		}
	}
}
