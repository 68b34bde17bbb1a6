package blobtest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

func testReaderAt(t *testing.T, open Opener) {
	f := open(t, Options{Grace: time.Hour})
	for _, n := range []int{0, 1, 1000, 200_001, 1<<20 + 65537} {
		p := Bytes(n, uint64(n))
		b := Commit(t, f.Store, p)
		Record(t, f, b)
		r, err := f.Store.Open(t.Context(), b.ID)
		if err != nil {
			t.Fatal(err)
		}
		if r.Size() != int64(n) {
			t.Errorf("Size %d, want %d", r.Size(), n)
		}
		testOffsets(t, r, p)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { testOffsets(t, r, p) })
		}
		wg.Wait()
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
		if _, err := r.ReadAt(make([]byte, 1), 0); err == nil {
			t.Error("ReadAt after Close succeeds")
		}
	}
}

func testOffsets(t *testing.T, r io.ReaderAt, p []byte) {
	n := len(p)
	for _, off := range []int{0, 1, 7, n / 2, 65535, 65536, 65537, n - 1, n, n + 1} {
		for _, length := range []int{0, 1, 3, 70_000, n} {
			if off < 0 {
				continue
			}
			got := make([]byte, length)
			k, err := r.ReadAt(got, int64(off))
			want := p[min(off, n):min(off+length, n)]
			if !bytes.Equal(got[:k], want) {
				t.Errorf("ReadAt(%d octets, %d of %d) gives %d wrong octets", length, off, n, k)
			}
			if k < length && err != io.EOF || k == length && err != nil && err != io.EOF {
				t.Errorf("ReadAt(%d octets, %d of %d) gives %d, %v", length, off, n, k, err)
			}
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt with a negative offset succeeds")
	}
}
