package pack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/hayauma/hayauma/internal/blob/staging"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	secretLen = 32
	sumLen    = 16
	// blockLen is how many octets of a body share one checksum: those blocks in
	// which it is written.
	blockLen = staging.BlockLen
	// manyBlocks is the block number under which the sums of several blocks
	// are summed themselves.
	manyBlocks = 1 << 31
)

// Files that are there have blocks of this length: it can be neither more ...
var _ [64<<10 - blockLen]struct{}

// ... nor less.
var _ [blockLen - 64<<10]struct{}

// sums computes keyed checksums. It is safe for use by many goroutines.
type sums struct {
	block, head cipher.AEAD
}

func newSums(secret []byte) (*sums, error) {
	if len(secret) != secretLen {
		return nil, fmt.Errorf("the secret has %d octets, not %d", len(secret), secretLen)
	}
	derive := func(use string) (cipher.AEAD, error) {
		key, err := hkdf.Key(sha256.New, secret, nil, "hayauma pack "+use, 16)
		if err != nil {
			return nil, err
		}
		c, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(c)
	}
	block, err := derive("block")
	if err != nil {
		return nil, err
	}
	head, err := derive("head")
	if err != nil {
		return nil, err
	}
	return &sums{block: block, head: head}, nil
}

// appendBlock appends the sum of block n of a body.
func (s *sums) appendBlock(dst []byte, id mail.ID, n uint32, data []byte) []byte {
	var nonce [12]byte
	binary.LittleEndian.PutUint64(nonce[:], uint64(id))
	binary.LittleEndian.PutUint32(nonce[8:], n)
	return s.block.Seal(dst, nonce[:], nil, data)
}

// appendHead appends the sum of a header at a place.
func (s *sums) appendHead(dst []byte, pack, offset int64, data []byte) []byte {
	var nonce [12]byte
	binary.LittleEndian.PutUint32(nonce[:], uint32(pack))
	binary.LittleEndian.PutUint64(nonce[4:], uint64(offset))
	return s.head.Seal(dst, nonce[:], nil, data)
}

// body returns the sum of a body in blocks, all but the last of blockLen.
func (s *sums) body(id mail.ID, blocks ...[]byte) (sum [sumLen]byte) {
	switch len(blocks) {
	case 0:
		s.appendBlock(sum[:0], id, 0, nil)
		return sum
	case 1:
		s.appendBlock(sum[:0], id, 0, blocks[0])
		return sum
	}
	all := make([]byte, 0, len(blocks)*sumLen)
	for i, b := range blocks {
		all = s.appendBlock(all, id, uint32(i), b)
	}
	s.appendBlock(sum[:0], id, manyBlocks, all)
	return sum
}

// split cuts a body that lies in one piece into blocks.
func split(p []byte) [][]byte {
	blocks := make([][]byte, 0, len(p)/blockLen+1)
	for len(p) > blockLen {
		blocks, p = append(blocks, p[:blockLen]), p[blockLen:]
	}
	return append(blocks, p)
}

// bodyMatches reports whether p is the body that sum was computed over.
func (s *sums) bodyMatches(id mail.ID, p []byte, sum [sumLen]byte) bool {
	var got [sumLen]byte
	if len(p) <= blockLen {
		got = s.body(id, p)
	} else {
		got = s.body(id, split(p)...)
	}
	return bytes.Equal(got[:], sum[:])
}
