package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// Layout of an entry's header, little endian. The sum at the end covers all
// that stands before it, under the pack number and offset.
//
//	0   magic "HYE"         16  offset in the pack      56  tenant
//	3   version             24  octets stored           64  account
//	4   codec               32  octets as written       72  mailbox
//	5   0                   40  body id                 80  time, microseconds
//	6   key id, 0 = clear   48  message                 88  sum of the bytes
//	8   pack (0 = large)                                104 sum of the header
//	12  0
const (
	entryLen     = 120
	entryVersion = 1
	entryAlign   = 8
	entryMagic   = "HYE"

	codecNone = 0
)

// Layout of a pack's header: magic, version, pack number, time, sum.
const (
	packHeadLen = 64
	packMagic   = "HAYAPACK"
)

var (
	errNoEntry  = errors.New("no entry stands here")
	errEntrySum = errors.New("the header's checksum does not match")
)

// entry is what stands before the bytes of a body.
type entry struct {
	Pack, Offset int64 // large files: 0 and the body id
	Stored, Size int64
	Codec        uint8
	Key          uint16
	ID           mail.ID
	Meta         blob.Meta
	Sum          [sumLen]byte
}

// appendTo appends the header in its stored form.
func (e *entry) appendTo(dst []byte, s *sums) []byte {
	at := len(dst)
	dst = append(dst, entryMagic...)
	dst = append(dst, entryVersion, e.Codec, 0)
	le := binary.LittleEndian
	dst = le.AppendUint16(dst, e.Key)
	dst = le.AppendUint32(dst, uint32(e.Pack))
	dst = le.AppendUint32(dst, 0)
	for _, v := range [...]int64{e.Offset, e.Stored, e.Size, int64(e.ID), int64(e.Meta.Message),
		int64(e.Meta.Tenant), int64(e.Meta.Account), int64(e.Meta.Mailbox), e.Meta.Time} {
		dst = le.AppendUint64(dst, uint64(v))
	}
	dst = append(dst, e.Sum[:]...)
	return s.appendHead(dst, e.Pack, e.Offset, dst[at:])
}

// parseEntry reads a header without verifying its sum. Every field that it
// accepts is in range, so that nothing is allocated on a damaged length.
func parseEntry(b []byte) (entry, error) {
	var e entry
	if len(b) < entryLen || string(b[:3]) != entryMagic {
		return e, errNoEntry
	}
	if b[3] != entryVersion {
		return e, fmt.Errorf("entry of version %d, which this program does not know", b[3])
	}
	le := binary.LittleEndian
	if b[5] != 0 || le.Uint32(b[12:]) != 0 {
		return e, errNoEntry
	}
	e.Codec, e.Key = b[4], le.Uint16(b[6:])
	e.Pack = int64(le.Uint32(b[8:]))
	for i, p := range [...]*int64{&e.Offset, &e.Stored, &e.Size, (*int64)(&e.ID), (*int64)(&e.Meta.Message),
		(*int64)(&e.Meta.Tenant), (*int64)(&e.Meta.Account), (*int64)(&e.Meta.Mailbox), &e.Meta.Time} {
		*p = int64(le.Uint64(b[16+8*i:]))
	}
	copy(e.Sum[:], b[88:])
	if e.Offset < 0 || e.Stored < 0 || e.Size < 0 || e.ID <= 0 {
		return e, errNoEntry
	}
	if e.Pack != 0 && (e.Stored > blob.InMemory || e.Size > math.MaxInt32) {
		return e, errNoEntry
	}
	return e, nil
}

// readEntry reads a header that stands at a place and verifies it.
func (s *sums) readEntry(b []byte, pack, offset int64) (entry, error) {
	e, err := parseEntry(b)
	if err != nil {
		return e, err
	}
	var sum [sumLen]byte
	s.appendHead(sum[:0], pack, offset, b[:entryLen-sumLen])
	if !bytes.Equal(sum[:], b[entryLen-sumLen:entryLen]) || e.Pack != pack || e.Offset != offset {
		return e, errEntrySum
	}
	if e.Codec != codecNone || e.Key != 0 || e.Stored != e.Size {
		return e, fmt.Errorf("entry with codec %d and key %d, which this program does not know", e.Codec, e.Key)
	}
	return e, nil
}

// packHead returns the header of a pack file.
func packHead(s *sums, pack, created int64) []byte {
	b := append(make([]byte, 0, packHeadLen), packMagic...)
	b = binary.LittleEndian.AppendUint32(b, entryVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(pack))
	b = binary.LittleEndian.AppendUint64(b, uint64(created))
	b = append(b, make([]byte, packHeadLen-sumLen-len(b))...)
	return s.appendHead(b, pack, 0, b)
}

// checkPackHead verifies the header of a pack file.
func checkPackHead(s *sums, b []byte, pack int64) error {
	if len(b) < packHeadLen || string(b[:len(packMagic)]) != packMagic {
		return errors.New("not a pack file")
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != entryVersion {
		return fmt.Errorf("pack of version %d, which this program does not know", v)
	}
	sum := s.appendHead(nil, pack, 0, b[:packHeadLen-sumLen])
	if !bytes.Equal(sum, b[packHeadLen-sumLen:packHeadLen]) {
		return errors.New("the pack's header is damaged, or the secret is not the one that it was written with")
	}
	return nil
}

// align returns the first place at or behind n where an entry may stand.
func align(n int64) int64 { return (n + entryAlign - 1) &^ (entryAlign - 1) }
