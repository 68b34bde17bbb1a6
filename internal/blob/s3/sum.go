package s3

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/hayauma/hayauma/internal/mail"
)

const (
	// blockLen is how many octets of a body share one checksum: the least that
	// is read from the service.
	blockLen = 256 << 10
	sumLen   = 16
)

// blocksOf is how many blocks a body of a size has. An empty one has a block too.
func blocksOf(size int64) int { return int(max(1, (size+blockLen-1)/blockLen)) }

// blockSize is how long block n of a body is.
func blockSize(size int64, n int) int { return int(min(blockLen, size-int64(n)*blockLen)) }

// summer computes the sums of a body's blocks while it is written.
type summer struct {
	id     mail.ID
	hash   hash.Hash
	block  uint32
	filled int // octets of the block so far
	sums   []byte
}

func newSummer(id mail.ID) *summer {
	s := &summer{id: id, hash: sha256.New()}
	s.begin()
	return s
}

// begin puts body id and block number first, so that neither another body's
// bytes nor a block of another place can pass.
func (s *summer) begin() {
	var head [12]byte
	binary.LittleEndian.PutUint64(head[:], uint64(s.id))
	binary.LittleEndian.PutUint32(head[8:], s.block)
	s.hash.Reset()
	s.hash.Write(head[:])
	s.filled = 0
}

func (s *summer) add(p []byte) {
	for len(p) > 0 {
		if s.filled == blockLen {
			s.end()
		}
		n := min(len(p), blockLen-s.filled)
		s.hash.Write(p[:n])
		s.filled, p = s.filled+n, p[n:]
	}
}

func (s *summer) end() {
	var all [sha256.Size]byte
	s.sums = append(s.sums, s.hash.Sum(all[:0])[:sumLen]...)
	s.block++
	s.begin()
}

// finish returns the sums of all blocks.
func (s *summer) finish() []byte {
	if s.filled > 0 || s.block == 0 {
		s.end()
	}
	return s.sums
}

// sumsOf returns the sums of a body that lies in pieces.
func sumsOf(id mail.ID, pieces ...[]byte) []byte {
	s := newSummer(id)
	for _, p := range pieces {
		s.add(p)
	}
	return s.finish()
}

// blockMatches reports whether data is block n of a body with these sums.
func blockMatches(id mail.ID, n int, data, sums []byte) bool {
	if (n+1)*sumLen > len(sums) {
		return false
	}
	s := summer{id: id, hash: sha256.New(), block: uint32(n)}
	s.begin()
	s.add(data)
	s.end()
	return bytes.Equal(s.sums, sums[n*sumLen:(n+1)*sumLen])
}

// bodyMatches reports whether p is the body that sums were computed over.
func bodyMatches(id mail.ID, p, sums []byte) bool {
	return bytes.Equal(sumsOf(id, p), sums)
}
