package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/minio/minio-go/v7"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/mail"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]Location{
		"s3://mail":                         {Bucket: "mail", Endpoint: DefaultEndpoint, Secure: true},
		"s3://mail/a/b/":                    {Bucket: "mail", Prefix: "a/b", Endpoint: DefaultEndpoint, Secure: true},
		"s3://mail?region=eu-central-1":     {Bucket: "mail", Endpoint: DefaultEndpoint, Region: "eu-central-1", Secure: true},
		"s3://mail?endpoint=h:9000":         {Bucket: "mail", Endpoint: "h:9000", Secure: true},
		"s3://m.a-1?endpoint=h&tls=off":     {Bucket: "m.a-1", Endpoint: "h"},
		"s3://mail?endpoint=http://h:1":     {Bucket: "mail", Endpoint: "h:1"},
		"s3://mail?endpoint=https://h/":     {Bucket: "mail", Endpoint: "h", Secure: true},
		"s3://mail?endpoint=[::1]:9000":     {Bucket: "mail", Endpoint: "[::1]:9000", Secure: true},
		"s3://mail/x?endpoint=h&tls=on":     {Bucket: "mail", Prefix: "x", Endpoint: "h", Secure: true},
		"s3://mail?endpoint=http%3A%2F%2Fh": {Bucket: "mail", Endpoint: "h"},
	} {
		if got, err := ParseURL(raw); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"", "mail", "http://mail", "s3://", "s3://ab", "s3://UPPER", "s3://mail/../x", "s3://mail/a//b", "s3://mail/ä",
		"s3://mail?color=red", "s3://mail?tls=maybe", "s3://mail?endpoint=", "s3://mail?endpoint=ftp://h", "s3://mail?endpoint=h/path",
		"s3://mail?endpoint=h&endpoint=i", "s3://mail?%zz", "s3://mail#x", "s3://mail?region=a#SECRET",
	} {
		if got, err := ParseURL(raw); err == nil {
			t.Errorf("%q is taken: %+v", raw, got)
		}
	}
	for _, raw := range []string{
		"s3://KEY:SECRET@mail/x", "s3://KEY@mail", "s3://mail?secret_key=SECRET", "s3://mail?endpoint=KEY:SECRET@h", "s3://mail?endpoint=http://KEY:SECRET@h",
	} {
		_, err := ParseURL(raw)
		if !errors.Is(err, errCredentials) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestSums(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, blockLen - 1, blockLen, blockLen + 1, 2 * blockLen, 2*blockLen + 77} {
		p := blobtest.Bytes(n, uint64(n))
		s := newSummer(7)
		for part := p; len(part) > 0; part = part[min(len(part), 77_777):] {
			s.add(part[:min(len(part), 77_777)])
		}
		sums := s.finish()
		if len(sums) != sumLen*blocksOf(int64(n)) || !bodyMatches(7, p, sums) || bodyMatches(8, p, sums) {
			t.Errorf("%d octets: %d octets of sums, or they do not match", n, len(sums))
		}
		for b := range blocksOf(int64(n)) {
			data := p[b*blockLen:][:blockSize(int64(n), b)]
			if !blockMatches(7, b, data, sums) || blockMatches(8, b, data, sums) || blockMatches(7, b+1, data, sums) {
				t.Errorf("%d octets: block %d", n, b)
			}
		}
	}
	// The same octets at another place of the same body do not pass.
	twice := bytes.Repeat(blobtest.Bytes(blockLen, 1), 2)
	s := newSummer(7)
	s.add(twice)
	if sums := s.finish(); bytes.Equal(sums[:sumLen], sums[sumLen:]) {
		t.Error("blocks of the same octets have the same sum")
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	for n := range 3 {
		list := make([]indexed, n)
		for i := range list {
			list[i] = indexed{id: mail.ID(i + 1), start: 1 << 39, length: 1 << 39, meta: blob.Meta{Message: 1 << 62, Time: int64(i) * 1 << 61}}
		}
		if got := appendIndex(nil, list); int64(len(got)) != indexLen(n) {
			t.Errorf("%d bodies: %d octets, want %d:\n%s", n, len(got), indexLen(n), got)
		}
	}
	got := string(appendIndex(nil, []indexed{{id: 5, start: 200, length: 7, meta: blob.Meta{Message: 1, Tenant: 2, Account: 3, Mailbox: 4, Time: 9}}}))
	want := "hayauma bodies 1 00001\n" +
		"body 0000000000005 000000000200 000000000007 0000000000001 0000000000002 0000000000003 0000000000004 0000000000000009\nsum "
	if !strings.HasPrefix(got, want) {
		t.Errorf("index is\n%s", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c cache
	const size = 10 * (1000 + entryCost)
	c.init(size)
	for n := range 100 {
		c.put(blockKey{1, n}, make([]byte, 1000))
		if _, ok := c.get(blockKey{1, 0}); !ok {
			t.Fatalf("what is asked for all the time is gone after %d", n)
		}
	}
	if len(c.items) != 10 || c.order.Len() != 10 || c.used != size {
		t.Errorf("%d blocks with %d octets", len(c.items), c.used)
	}
	if _, ok := c.get(blockKey{1, 98}); !ok {
		t.Error("the last but one is gone")
	}
	c.put(blockKey{2, 0}, make([]byte, size)) // too large: nothing is dropped for it
	c.forget(1, 100*blockLen)
	if len(c.items) != 0 || c.used != 0 {
		t.Errorf("%d blocks with %d octets are left", len(c.items), c.used)
	}
}

func TestChunkReader(t *testing.T) {
	t.Parallel()
	r := &chunkReader{chunks: [][]byte{nil, []byte("ab"), {}, []byte("c"), nil}}
	if err := iotest.TestReader(struct{ io.Reader }{r}, []byte("abc")); err != nil {
		t.Error(err)
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		head string
		want error
	}{
		{"bytes 10-19/100", nil},
		{"bytes 10-19/*", nil},
		{"bytes 10-14/15", errEnds},
		{"bytes 0-9/100", errAnswer},
		{"", errAnswer},
	} {
		if err := checkRange(c.head, 10, 10); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%q: %v, want %v", c.head, err, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	answer := func(status int, code string) error {
		return fmt.Errorf("wrapped: %w", minio.ErrorResponse{StatusCode: status, Code: code})
	}
	for _, c := range []struct {
		err  error
		kind kind
		is   error
	}{
		{answer(500, "InternalError"), again, nil},
		{answer(503, "SlowDown"), again, nil},
		{answer(429, "TooManyRequests"), again, nil},
		{answer(400, "BadDigest"), again, nil},
		{answer(400, "RequestTimeout"), again, nil},
		{answer(200, "NotXML"), again, nil},
		{answer(403, "AccessDenied"), final, nil},
		{answer(404, "NoSuchBucket"), final, nil},
		{answer(404, "NoSuchKey"), final, errMissing},
		{answer(416, "InvalidRange"), final, errEnds},
		{answer(507, "Storage"), final, blob.ErrFull},
		{answer(403, "QuotaExceeded"), final, blob.ErrFull},
		{io.ErrUnexpectedEOF, again, nil},
		{context.DeadlineExceeded, again, nil},
		{context.Canceled, final, nil},
		{errAnswer, again, nil},
	} {
		kind, err := judge(c.err)
		if kind != c.kind || c.is != nil && !errors.Is(err, c.is) || c.is == nil && (errors.Is(err, blob.ErrFull) || errors.Is(err, errMissing)) {
			t.Errorf("%v: %d, %v", c.err, kind, err)
		}
	}
}
