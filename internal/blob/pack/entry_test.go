package pack

import (
	"bytes"
	"testing"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
)

func testSums(t testing.TB) *sums {
	t.Helper()
	s, err := newSums(make([]byte, secretLen))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func someEntry() entry {
	return entry{
		Pack: 7, Offset: 4096, Stored: 5, Size: 5, ID: 11,
		Meta: blob.Meta{Message: 1, Tenant: 2, Account: 3, Mailbox: 4, Time: 1700000000000000},
	}
}

// FuzzParseEntry shows that what the decoder accepts is in range and prints to
// the same octets.
func FuzzParseEntry(f *testing.F) {
	s := testSums(f)
	e := someEntry()
	f.Add(e.appendTo(nil, s))
	f.Add([]byte("HYE"))
	f.Add(make([]byte, entryLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		if e.Stored < 0 || e.Size < 0 || e.Offset < 0 || e.ID <= 0 || e.Pack < 0 || (e.Pack > 0 && e.Stored > blob.InMemory) {
			t.Fatalf("out of range: %+v", e)
		}
		again := e.appendTo(nil, s)
		if !bytes.Equal(again[:entryLen-sumLen], b[:entryLen-sumLen]) {
			t.Fatalf("printed differently:\n%x\n%x", again, b)
		}
		if back, err := parseEntry(again); err != nil || back != e {
			t.Fatalf("parsed differently: %+v, %v", back, err)
		}
	})
}

func FuzzParsePlace(f *testing.F) {
	f.Add("7/64/5240")
	f.Add("0/0/2097152")
	f.Add("1/2")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlace(text, 9)
		if err != nil {
			return
		}
		if p.pack < 0 || p.start < 0 || p.length < 0 {
			t.Fatalf("out of range: %+v", p)
		}
		if back, err := parsePlace(p.String(), 9); err != nil || back != p {
			t.Fatalf("%q becomes %+v, %v", p.String(), back, err)
		}
	})
}

func TestAnEntryIsBoundToItsPlace(t *testing.T) {
	t.Parallel()
	s := testSums(t)
	e := someEntry()
	b := e.appendTo(nil, s)
	if got, err := s.readEntry(b, e.Pack, e.Offset); err != nil || got != e {
		t.Fatalf("read back %+v, %v", got, err)
	}
	if _, err := s.readEntry(b, e.Pack+1, e.Offset); err == nil {
		t.Error("it passes in another pack")
	}
	if _, err := s.readEntry(b, e.Pack, e.Offset+8); err == nil {
		t.Error("it passes at another offset")
	}
	for i := range b {
		b[i] ^= 1
		if _, err := s.readEntry(b, e.Pack, e.Offset); err == nil {
			t.Errorf("it passes with octet %d changed", i)
		}
		b[i] ^= 1
	}
	other, err := newSums(bytes.Repeat([]byte{1}, secretLen))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.readEntry(b, e.Pack, e.Offset); err == nil {
		t.Error("it passes under another secret")
	}
}

func TestTheSumOfABodyDependsOnEveryOctet(t *testing.T) {
	t.Parallel()
	s := testSums(t)
	for _, n := range []int{0, 1, blockLen, blockLen + 1, 3*blockLen - 1} {
		p := blobtest.Bytes(n, 1)
		sum := s.body(5, split(p)...)
		if !s.bodyMatches(5, p, sum) {
			t.Errorf("size %d does not match itself", n)
		}
		if s.bodyMatches(6, p, sum) {
			t.Errorf("size %d matches as another body", n)
		}
		if s.bodyMatches(5, append(p[:n:n], 0), sum) {
			t.Errorf("size %d matches with an octet more", n)
		}
		for _, at := range []int{0, n / 2, n - 1} {
			if n == 0 {
				continue
			}
			p[at] ^= 1
			if s.bodyMatches(5, p, sum) {
				t.Errorf("size %d matches with octet %d changed", n, at)
			}
			p[at] ^= 1
		}
	}
}
