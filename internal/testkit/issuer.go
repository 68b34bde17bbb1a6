package testkit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Issuer is an OpenID issuer on loopback, with keys of its own.
type Issuer struct {
	*httptest.Server
	Asked atomic.Int32 // questions so far
	Away  atomic.Bool  // it answers nothing of use

	t testing.TB

	mu   sync.Mutex
	keys map[string]crypto.Signer
}

// NewIssuer starts one with a key "one".
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t, keys: map[string]crypto.Signer{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/a", "token_endpoint": i.URL + "/t",
			"id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { i.answer(w, map[string]any{"keys": i.public()}) })
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	i.Add("one")
	return i
}

func (i *Issuer) answer(w http.ResponseWriter, v any) {
	i.Asked.Add(1)
	if i.Away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that left is its own test's matter
}

// Add makes a key: an elliptic one if its name begins with e.
func (i *Issuer) Add(name string) {
	i.t.Helper()
	var key crypto.Signer
	var err error
	if name[0] == 'e' {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[name] = key
}

// Remove forgets a key.
func (i *Issuer) Remove(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.keys, name)
}

func (i *Issuer) public() (out []map[string]string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for name, key := range i.keys {
		switch k := key.Public().(type) {
		case *rsa.PublicKey:
			out = append(out, map[string]string{"kty": "RSA", "kid": name, "use": "sig", "n": encode64URL(k.N.Bytes()), "e": "AQAB"})
		case *ecdsa.PublicKey:
			point, err := k.Bytes()
			if err != nil {
				i.t.Error(err)
				continue
			}
			out = append(out, map[string]string{"kty": "EC", "crv": "P-256", "kid": name, "use": "sig", "x": encode64URL(point[1:33]), "y": encode64URL(point[33:])})
		}
	}
	return out
}

func encode64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Claims are good ones, with changes; nil takes one away.
func (i *Issuer) Claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": i.URL, "aud": "mail", "sub": "1", "email": "alice@hayauma.test", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(),
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// Token signs claims with a key, whatever the header says.
func (i *Issuer) Token(name, alg string, claims map[string]any) string {
	i.t.Helper()
	i.mu.Lock()
	key := i.keys[name]
	i.mu.Unlock()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			i.t.Fatal(err)
		}
		return encode64URL(b)
	}
	signed := part(map[string]string{"alg": alg, "kid": name, "typ": "JWT"}) + "." + part(claims)
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch k := key.(type) {
	case *rsa.PrivateKey:
		var err error
		if signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:]); err != nil {
			i.t.Fatal(err)
		}
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			i.t.Fatal(err)
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	return signed + "." + encode64URL(signature)
}
