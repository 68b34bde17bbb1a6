package s3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/mail"
)

// spanMax is how many octets one request reads of bodies that lie side by side.
const spanMax = 4 << 20

// eachBody reads and verifies small bodies of one object, given in the order of
// their places, with few requests. f gets the octets, or blob.ErrCorrupt.
// errMissing says that the object is not there.
func (s *Store) eachBody(ctx context.Context, object mail.ID, rows []bodyRow, f func(b bodyRow, octets []byte, err error) error) error {
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].start+rows[n].length-rows[0].start <= spanMax {
			n++
		}
		if err := s.span(ctx, object, rows[:n], f); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (s *Store) span(ctx context.Context, object mail.ID, rows []bodyRow, f func(bodyRow, []byte, error) error) error {
	from, end := rows[0].start, int64(0)
	for _, b := range rows {
		end = max(end, b.start+b.length)
	}
	var all []byte
	if end > from {
		all = make([]byte, end-from)
		err := s.client.get(ctx, s.key(object), from, end-from, func(r io.Reader) error {
			if _, err := io.ReadFull(r, all); err != nil {
				return fmt.Errorf("%w: too short: %w", errAnswer, err)
			}
			return nil
		})
		if errors.Is(err, errEnds) {
			all = nil // some may be there all the same
		} else if err != nil {
			return err
		}
	}
	for _, b := range rows {
		octets, err := s.spanned(ctx, all, from, b)
		if err != nil && !errors.Is(err, blob.ErrCorrupt) {
			return err
		}
		if err := f(b, octets, err); err != nil {
			return err
		}
	}
	return nil
}

// spanned cuts a body out of a span that starts at a place. What does not match
// there is read by itself, once.
func (s *Store) spanned(ctx context.Context, all []byte, from int64, b bodyRow) ([]byte, error) {
	if all != nil || b.size == 0 {
		octets := all[min(int64(len(all)), b.start-from):]
		octets = octets[:min(int64(len(octets)), b.length)]
		if bodyMatches(b.id, octets, b.sums) {
			return octets, nil
		}
	}
	blocks, err := s.fetch(ctx, b.id, b.place, 0, blocksOf(b.size))
	if errors.Is(err, errEnds) {
		return nil, fmt.Errorf("%w: %w", blob.ErrCorrupt, err)
	}
	if err != nil {
		return nil, err
	}
	var octets []byte
	for _, block := range blocks {
		octets = append(octets, block...)
	}
	return octets, nil
}
