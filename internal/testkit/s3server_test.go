package testkit

import (
	"io"
	"net/http"
	"testing"
)

func TestS3(t *testing.T) {
	t.Parallel()
	s := NewS3(t)
	if keys, err := s.Keys(""); err != nil || len(keys) != 0 {
		t.Fatalf("a new bucket holds %q, %v", keys, err)
	}
	s.Kill()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := NewS3Proxy(t, s.Endpoint)
	get := func() (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Endpoint+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return res.StatusCode, err
	}
	if code, err := get(); code != http.StatusForbidden || err != nil {
		t.Errorf("a request without a signature gives %d, %v", code, err)
	}
	for name, c := range map[string]struct {
		fault S3Fault
		code  int
		fails bool
	}{
		"503":   {S3Fault{Status: 503, Code: "SlowDown"}, 503, false},
		"cut":   {S3Fault{Cut: true}, 0, true},
		"lost":  {S3Fault{Lost: true}, 0, true},
		"short": {S3Fault{Short: true}, 403, true},
	} {
		p.Always(c.fault)
		if code, err := get(); code != c.code || (err != nil) != c.fails {
			t.Errorf("%s: %d, %v", name, code, err)
		}
	}
}
