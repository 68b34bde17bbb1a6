package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// pauseMin and pauseMax bound the pause before a request is repeated.
	pauseMin = 50 * time.Millisecond
	pauseMax = 2 * time.Second
	idleMax  = 32 // connections that are kept open
	// slowest is how many octets a second are expected at least: a long request
	// may take so much longer.
	slowest = 256 << 10
)

// client speaks to one bucket. Each request has a limit of time and is repeated
// where it may work the next time.
type client struct {
	core      *minio.Core
	transport *http.Transport
	bucket    string
	timeout   time.Duration
	retries   int
}

func newClient(o *Options) (*client, error) {
	if o.AccessKey == "" || o.SecretKey == "" {
		return nil, errors.New("the S3 store needs an access key and a secret key")
	}
	dialer := &net.Dialer{Timeout: min(o.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		MaxIdleConns: idleMax, MaxIdleConnsPerHost: idleMax, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: min(o.Timeout, 10*time.Second), ResponseHeaderTimeout: o.Timeout,
		DisableCompression: true, // a range is a range of octets
	}
	core, err := minio.NewCore(o.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure: o.Secure, Region: o.Region, Transport: t,
		MaxRetries: 1, // they are ours
	})
	if err != nil {
		return nil, fmt.Errorf("the endpoint of the S3 store: %w", err)
	}
	return &client{core: core, transport: t, bucket: o.Bucket, timeout: o.Timeout, retries: o.Retries}, nil
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// do runs a short request, and again as often as makes sense.
func (c *client) do(ctx context.Context, once func(context.Context) error) error {
	return c.carry(ctx, c.tries(), 0, once)
}

// carry is do for a request that carries octets, with a limit of tries.
func (c *client) carry(ctx context.Context, tries int, octets int64, once func(context.Context) error) error {
	pause := pauseMin
	for try := 1; ; try++ {
		err := c.once(ctx, octets, once)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		what, err := judge(err)
		if what == final || try >= tries {
			return err
		}
		// With jitter, so that those who failed together do not come together.
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		pause = min(pause*2, pauseMax)
	}
}

func (c *client) once(ctx context.Context, octets int64, f func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, c.timeout+time.Duration(octets)*time.Second/slowest)
	defer cancel()
	return f(limited)
}

// tries is how often a request is made at most.
func (c *client) tries() int { return c.retries + 1 }

// content is what one request sends.
type content struct {
	size int64
	sum  string // SHA-256 in hexadecimal: the service refuses other octets
	open func() io.Reader
}

// put writes an object. The service answers once it is durable.
func (c *client) put(ctx context.Context, tries int, key string, p content) error {
	return c.carry(ctx, tries, p.size, func(ctx context.Context) error {
		body := &detachable{r: p.open()}
		defer body.detach()
		info, err := c.core.PutObject(ctx, c.bucket, key, body, p.size, "", p.sum,
			minio.PutObjectOptions{ContentType: "application/octet-stream", DisableContentSha256: true})
		if err == nil && info.ETag == "" {
			err = fmt.Errorf("%w: it names no object that was stored", errAnswer)
		}
		return err
	})
}

// detachable is the body of a request. The transport may go on reading after it
// has answered; it must not do so from memory that is used for something else.
type detachable struct {
	mu sync.Mutex
	r  io.Reader
}

func (d *detachable) Read(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.r == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return d.r.Read(p)
}

func (d *detachable) detach() {
	d.mu.Lock()
	d.r = nil
	d.mu.Unlock()
}

// get reads n octets of an object from a place on. consume has to read them
// all; it is called again, from the start, where a try ends early.
func (c *client) get(ctx context.Context, key string, off, n int64, consume func(io.Reader) error) error {
	return c.carry(ctx, c.tries(), n, func(ctx context.Context) (err error) {
		var o minio.GetObjectOptions
		o.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
		body, _, head, err := c.core.GetObject(ctx, c.bucket, key, o)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // what counts was read
		if err := checkRange(head.Get("Content-Range"), off, n); err != nil {
			return err
		}
		return consume(io.LimitReader(body, n))
	})
}

// checkRange looks whether an answer holds what was asked for.
func checkRange(got string, off, n int64) error {
	want := fmt.Sprintf("bytes %d-%d/", off, off+n-1)
	if strings.HasPrefix(got, want) {
		return nil
	}
	_, total, ok := strings.Cut(got, "/")
	if all, err := strconv.ParseInt(total, 10, 64); ok && err == nil && all < off+n {
		return errEnds
	}
	return fmt.Errorf("%w: range %q instead of %q", errAnswer, got, want)
}

// exists asks whether there is an object.
func (c *client) exists(ctx context.Context, key string) (bool, error) {
	err := c.do(ctx, func(ctx context.Context) error {
		_, err := c.core.StatObject(ctx, c.bucket, key, minio.StatObjectOptions{})
		return err
	})
	if errors.Is(err, errMissing) {
		return false, nil
	}
	return err == nil, err
}

// remove deletes an object. That there is none is fine.
func (c *client) remove(ctx context.Context, key string) error {
	err := c.do(ctx, func(ctx context.Context) error {
		return c.core.RemoveObject(ctx, c.bucket, key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, errMissing) {
		return nil
	}
	return err
}

// page lists up to a thousand keys behind one of them.
func (c *client) page(ctx context.Context, prefix, after string) (keys []string, err error) {
	const most = 1000
	err = c.do(ctx, func(ctx context.Context) error {
		keys = nil
		o := minio.ListObjectsOptions{Prefix: prefix, StartAfter: after, MaxKeys: most, Recursive: true}
		for info := range c.core.ListObjectsIter(ctx, c.bucket, o) {
			if info.Err != nil {
				return info.Err
			}
			if keys = append(keys, info.Key); len(keys) == most {
				break
			}
		}
		return nil
	})
	return keys, err
}

// abortUploads gives back the parts of uploads of a key that were never ended.
func (c *client) abortUploads(ctx context.Context, key string) error {
	err := c.do(ctx, func(ctx context.Context) error { return c.core.RemoveIncompleteUpload(ctx, c.bucket, key) })
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok && (r.Code == "NoSuchUpload" || r.Code == "NotImplemented") {
		return nil
	}
	return err
}
