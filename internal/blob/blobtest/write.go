package blobtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/wire/mime/sevenbit"
)

// sizes are those at which stores change their ways.
func sizes() []int {
	return []int{0, 1, 5 << 10, 8 << 10, 8<<10 + 1, 64 << 10, 64<<10 + 1, blob.InMemory - 1, blob.InMemory, blob.InMemory + 1, 20 << 20}
}

func testSizes(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	var bodies []blob.Body
	for i, n := range sizes() {
		bodies = append(bodies, Commit(t, f.Store, Bytes(n, uint64(i))))
	}
	Record(t, f, bodies...)
	for i, n := range sizes() {
		Want(t, f.Store, bodies[i].ID, Bytes(n, uint64(i)))
	}
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
	WantMissing(t, f.Store, bodies[len(bodies)-1].ID+1000)
}

func testConcurrent(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	const writers, each = 16, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				p := Bytes(1+(w*each+i)*997, uint64(w*each+i))
				b, err := commit(t.Context(), f.Store, p)
				if err == nil {
					err = record(t.Context(), f, b)
				}
				var got []byte
				if err == nil {
					got, err = read(t.Context(), f.Store, b.ID)
				}
				if err != nil || !bytes.Equal(got, p) {
					t.Errorf("writer %d body %d: %d octets of %d, %v", w, i, len(got), len(p), err)
				}
			}
		})
	}
	wg.Wait()
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
}

func testWriterReader(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for i, n := range sizes() {
		if n == blob.InMemory-1 || n == blob.InMemory {
			continue // iotest reads octet by octet
		}
		n = min(n, blob.InMemory+blob.InMemory/8+77)
		p := Bytes(n, uint64(i))
		w := f.Store.Create()
		for _, part := range [][]byte{p[:n/3], p[n/3:]} {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		r, err := w.Reader()
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, p); err != nil {
			t.Fatalf("size %d: %v", n, err)
		}
		b, err := w.Commit(t.Context(), blob.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		w.Abort()
		Record(t, f, b)
		Want(t, f.Store, b.ID, p)
	}
}

// testRewrite does what intake does with 8-bit mail.
func testRewrite(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for _, n := range []int{1, 5 << 10, blob.InMemory / 2, blob.InMemory + 1, 3 << 20} {
		msg := []byte("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" +
			"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\u00fc\u00dfe\r\n--b\r\nContent-Type: image/png\r\n\r\n\xff")
		msg = append(append(msg, Bytes(n, uint64(n))...), "\r\n--b--\r\n"...)
		var want bytes.Buffer
		if err := sevenbit.Convert(&want, bytes.NewReader(msg), int64(len(msg))); err != nil {
			t.Fatal(err)
		}
		from, to := f.Store.Create(), f.Store.Create()
		if _, err := from.Write(msg); err != nil {
			t.Fatal(err)
		}
		src, err := from.Reader()
		if err == nil {
			err = sevenbit.Convert(to, src, src.Size())
		}
		from.Abort()
		if err != nil {
			t.Fatal(err)
		}
		b, err := to.Commit(t.Context(), blob.Meta{})
		if err != nil || b.Size != int64(want.Len()) {
			t.Fatalf("%d octets, %v", b.Size, err)
		}
		Record(t, f, b)
		Want(t, f.Store, b.ID, want.Bytes())
	}
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
}

func testAbort(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for _, n := range []int{0, 10, 70 << 10, 2 << 20} {
		w := f.Store.Create()
		if _, err := w.Write(Bytes(n, 1)); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		w.Abort()
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("Write after Abort succeeds")
		}
		if _, err := w.Commit(t.Context(), blob.Meta{}); err == nil {
			t.Error("Commit after Abort succeeds")
		}
	}
	if faults := Faults(t, f.Store); len(faults) > 0 {
		t.Fatalf("check: %q", faults)
	}
}

func testContext(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		b, err := commit(ctx, f.Store, Bytes(100, 1))
		if err == nil {
			Record(t, f, b) // it was faster
			Want(t, f.Store, b.ID, Bytes(100, 1))
		} else if !errors.Is(err, context.Canceled) {
			t.Fatalf("commit: %v", err)
		}
	}
	b := Commit(t, f.Store, Bytes(100, 2))
	Record(t, f, b)
	Want(t, f.Store, b.ID, Bytes(100, 2))
}

func testClosed(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	if err := f.Store.Health(); err != nil {
		t.Errorf("health: %v", err)
	}
	if err := f.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Store.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := commit(t.Context(), f.Store, []byte("x")); err == nil {
		t.Error("Commit after Close succeeds")
	}
	if f.Store.Health() == nil {
		t.Error("a closed store is healthy")
	}
}
