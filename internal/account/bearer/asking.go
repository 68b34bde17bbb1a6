package bearer

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// maxAnswer bounds what an issuer may say, in octets.
	maxAnswer = 1 << 20
	// perMinute bounds the questions: a token with an unknown key asks for keys.
	perMinute = 12
)

var errOften = errors.New("the issuer was asked too often of late")

// asking is how issuers are asked: not too often, and without reading long answers.
type asking struct {
	next http.RoundTripper

	mu    sync.Mutex
	asked []time.Time // within the last minute
}

// RoundTrip implements http.RoundTripper.
func (a *asking) RoundTrip(r *http.Request) (*http.Response, error) {
	if !a.may(time.Now()) {
		return nil, errOften
	}
	answer, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	return answer, nil
}

func (a *asking) may(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.asked) > 0 && now.Sub(a.asked[0]) >= time.Minute {
		a.asked = a.asked[1:]
	}
	if len(a.asked) >= perMinute {
		return false
	}
	a.asked = append(a.asked, now)
	return true
}
