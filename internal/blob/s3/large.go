package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/hayauma/hayauma/internal/mail"
)

// partsAtOnce is how many parts of a large body are sent at the same time.
const partsAtOnce = 3

// upload stores a body that lies in a file, in an object of its own.
func (s *Store) upload(ctx context.Context, f *spool, body indexed) (place, error) {
	if err := s.closed(); err != nil {
		return place{}, err
	}
	ctx, end := s.with(ctx)
	defer end()
	ctx, cancel := context.WithTimeout(ctx, uploadMax)
	defer cancel()
	body.start = indexLen(1)
	length, err := f.complete(body)
	if err != nil {
		return place{}, err
	}
	select {
	case s.large <- struct{}{}:
		defer func() { <-s.large }()
	case <-ctx.Done():
		return place{}, context.Cause(ctx)
	}
	object, err := s.intents.take(ctx)
	if err != nil {
		return place{}, err
	}
	defer s.pending.release(object)
	began := time.Now()
	err = s.send(ctx, object, f, length)
	if ctx.Err() == nil {
		s.stored(err)
	}
	if err != nil {
		return place{}, fmt.Errorf("store object %s: %w", object, err)
	}
	if put := s.opt.Observer.Put; put != nil {
		put(1, length, time.Since(began))
	}
	p := place{object: object, start: body.start, length: body.length, size: body.length, sums: f.sum.finish()}
	s.pending.add(body.id, p, body.length)
	return p, nil
}

// send stores a file as an object, in one request if it is short enough.
func (s *Store) send(ctx context.Context, object mail.ID, f *spool, length int64) error {
	size := max(s.opt.PartSize, (length+maxParts-1)/maxParts)
	if length <= size {
		p, err := f.part(0, length)
		if err != nil {
			return err
		}
		return s.client.put(ctx, s.tries(), s.key(object), p)
	}
	u := &parts{c: s.client, key: s.key(object), tries: s.tries()}
	if err := u.begin(ctx); err != nil {
		return err
	}
	err := u.sendAll(ctx, f, length, size)
	if err == nil {
		err = u.complete(ctx)
	}
	if err != nil {
		u.abort(context.WithoutCancel(ctx))
	}
	return err
}

// part is a piece of the file as the content of a request.
func (p *spool) part(off, n int64) (content, error) {
	open := func() io.Reader { return io.NewSectionReader(p.f, off, n) }
	sum := sha256.New()
	got, err := io.Copy(sum, open())
	if err == nil && got != n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return content{}, spoolError(err)
	}
	return content{size: n, sum: hex.EncodeToString(sum.Sum(nil)), open: open}, nil
}

// parts is an upload in parts. None of them can be seen before complete.
type parts struct {
	c     *client
	key   string
	tries int
	id    string
	done  []minio.CompletePart
}

func (u *parts) begin(ctx context.Context) error {
	return u.c.carry(ctx, u.tries, 0, func(ctx context.Context) (err error) {
		u.id, err = u.c.core.NewMultipartUpload(ctx, u.c.bucket, u.key, minio.PutObjectOptions{ContentType: "application/octet-stream"})
		return err
	})
}

// sendAll sends the parts of a file, a few at a time.
func (u *parts) sendAll(ctx context.Context, f *spool, length, size int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	u.done = make([]minio.CompletePart, (length+size-1)/size)
	next := make(chan int)
	var wg sync.WaitGroup
	for range partsAtOnce {
		wg.Go(func() {
			for n := range next {
				off := int64(n) * size
				if err := u.sendPart(ctx, f, n, off, min(size, length-off)); err != nil {
					cancel(err)
				}
			}
		})
	}
	for n := range u.done {
		select {
		case next <- n:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

func (u *parts) sendPart(ctx context.Context, f *spool, n int, off, length int64) error {
	p, err := f.part(off, length)
	if err != nil {
		return err
	}
	return u.c.carry(ctx, u.tries, p.size, func(ctx context.Context) error {
		body := &detachable{r: p.open()}
		defer body.detach()
		part, err := u.c.core.PutObjectPart(ctx, u.c.bucket, u.key, u.id, n+1, body, p.size,
			minio.PutObjectPartOptions{Sha256Hex: p.sum, DisableContentSha256: true})
		if err == nil && part.ETag == "" {
			err = fmt.Errorf("%w: it names no part that was stored", errAnswer)
		}
		u.done[n] = minio.CompletePart{PartNumber: n + 1, ETag: part.ETag}
		return err
	})
}

// complete makes an object of the parts. Where the answer of a first try was
// lost the upload is no longer known then; the object that it made is.
func (u *parts) complete(ctx context.Context) error {
	err := u.c.carry(ctx, u.tries, 0, func(ctx context.Context) error {
		_, err := u.c.core.CompleteMultipartUpload(ctx, u.c.bucket, u.key, u.id, u.done, minio.PutObjectOptions{})
		return err
	})
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok && r.Code == "NoSuchUpload" {
		if there, serr := u.c.exists(ctx, u.key); serr == nil && there {
			return nil
		}
	}
	return err
}

// abort gives the parts back. Where that fails the sweep that finds the intent
// does it.
func (u *parts) abort(ctx context.Context) {
	_ = u.c.once(ctx, 0, func(ctx context.Context) error { return u.c.core.AbortMultipartUpload(ctx, u.c.bucket, u.key, u.id) })
}
