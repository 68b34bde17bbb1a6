package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// redAfter is how many objects in a row could not be stored when Health turns
// red.
const redAfter = 3

// health counts the objects that could not be stored since the last that was.
type health struct {
	mu       sync.Mutex
	failures int
	last     error
}

func (h *health) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failures < redAfter {
		return nil
	}
	return fmt.Errorf("the S3 service stores nothing: %w", h.last)
}

// failed reports whether health has turned red with this error.
func (h *health) failed(err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures++
	h.last = err
	return h.failures == redAfter
}

// worked reports whether health was red before.
func (h *health) worked() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.failures >= redAfter
	h.failures, h.last = 0, nil
	return was
}

// stored notes how it went to store something, unless the store is ending.
func (s *Store) stored(err error) {
	switch {
	case err == nil:
		if s.health.worked() {
			s.log.Info("body store works again")
		}
	case s.ctx.Err() == nil && s.health.failed(err):
		s.log.Error("body store stores nothing", "error", err)
	}
}

// tries is how often to try to store something: once while nothing can be
// stored, so that those who wait are told soon.
func (s *Store) tries() int {
	if s.health.check() != nil {
		return 1
	}
	return s.client.tries()
}

// probeLoop tries a service that stores nothing, so that it is found to work
// again without anybody's mail.
func (s *Store) probeLoop() {
	tick := time.NewTicker(s.opt.probe)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if s.health.check() == nil {
			continue
		}
		if err := s.client.tryOut(s.ctx, 1, s.opt.under("probe/"+s.owner.String())); err == nil {
			s.stored(nil)
		}
	}
}

// tryOut stores, reads and deletes a small object.
func (c *client) tryOut(ctx context.Context, tries int, key string) error {
	const text = "hayauma probes whether it can store, read and delete here\n"
	sum := sha256.Sum256([]byte(text))
	err := c.put(ctx, tries, key, content{
		size: int64(len(text)), sum: hex.EncodeToString(sum[:]), open: func() io.Reader { return strings.NewReader(text) },
	})
	if err != nil {
		return fmt.Errorf("store an object: %w", err)
	}
	err = c.get(ctx, key, 0, int64(len(text)), func(r io.Reader) error {
		got, err := io.ReadAll(r)
		if err == nil && string(got) != text {
			err = fmt.Errorf("%w: other octets than were stored", errAnswer)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read an object: %w", err)
	}
	if err := c.remove(ctx, key); err != nil {
		return fmt.Errorf("delete an object: %w", err)
	}
	return nil
}
