package account

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// The cost of a password hash: 19 MiB and two passes, OWASP's first choice for
// argon2id. At most two run at once, so that logins cannot eat the memory.
const (
	hashKiB     = 19 * 1024
	hashPasses  = 2
	hashLen     = 32
	hashAtOnce  = 2
	hashWait    = 20 * time.Second
	hashRest    = 200 * time.Millisecond
	cacheFor    = 5 * time.Minute
	maxRecent   = 20000
	minPassword = 8
	maxPassword = 1024
)

// login holds what verifying passwords needs: places for hashing, and which
// pairs of hash and password were right a moment ago. The cache knows them
// only by a keyed digest.
type login struct {
	places chan struct{}
	key    [32]byte
	decoy  string      // a hash to compare with when there is no such user
	idle   *time.Timer // gives the memory of hashing back when logins pause

	mu     sync.Mutex
	recent map[[32]byte]time.Time
}

func newLogin() *login {
	l := &login{places: make(chan struct{}, hashAtOnce), recent: map[[32]byte]time.Time{}}
	// crypto/rand never fails: it ends the process instead.
	_, _ = rand.Read(l.key[:])
	l.idle = time.AfterFunc(time.Hour, debug.FreeOSMemory)
	l.idle.Stop()
	l.decoy = encodeHash(make([]byte, 16), make([]byte, hashLen))
	return l
}

func hashPassword(password string) string {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	all := forms(password)
	return encodeHash(salt, derive(all[len(all)-1], salt))
}

// forms are a password as it came and, where that differs, as it is prepared, the same
// from each keyboard (RFC 4616 §2). What cannot be prepared counts as it came. Hashes
// were once made of what came.
func forms(password string) []string {
	prepared, err := sasl.Prepare(password)
	if err != nil || prepared == password {
		return []string{password}
	}
	return []string{password, prepared}
}

func derive(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, hashPasses, hashKiB, 1, hashLen)
}

// encodeHash writes the PHC string that other programs read as well.
func encodeHash(salt, hash []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, hashKiB, hashPasses, b64(salt), b64(hash))
}

// verify compares in constant time with any argon2id PHC string whose cost is
// at most ours.
func verify(encoded, password string) bool {
	var version, kib, passes, lanes int
	var rest string
	n, err := fmt.Sscanf(encoded, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &kib, &passes, &lanes, &rest)
	if err != nil || n != 5 || version != argon2.Version || kib < 1 || kib > hashKiB || passes > hashPasses || passes < 1 || lanes != 1 {
		return false
	}
	var salt, hash []byte
	if i := len(rest) - base64.RawStdEncoding.EncodedLen(hashLen); i > 0 && rest[i-1] == '$' {
		salt, err = base64.RawStdEncoding.DecodeString(rest[:i-1])
		if err != nil {
			return false
		}
		if hash, err = base64.RawStdEncoding.DecodeString(rest[i:]); err != nil {
			return false
		}
	}
	got := argon2.IDKey([]byte(password), salt, uint32(passes), uint32(kib), 1, hashLen)
	return subtle.ConstantTimeCompare(got, hash) == 1
}

// check verifies a password, waiting for a place to hash in. How many hashes a wrong
// one costs depends on it alone.
func (l *login) check(ctx context.Context, encoded, password string) (bool, error) {
	digest := l.digest(encoded, password)
	if l.known(digest) {
		return true, nil
	}
	if err := l.takePlace(ctx); err != nil {
		return false, err
	}
	ok := slices.ContainsFunc(forms(password), func(form string) bool { return verify(encoded, form) })
	l.givePlace()
	if ok {
		l.remember(digest)
	}
	return ok, nil
}

// among returns which of some app passwords a password is, nil if none. Those of
// one account mostly share what it costs to look.
func (l *login) among(ctx context.Context, apps []AppPassword, password string) (*AppPassword, error) {
	for i := range apps {
		if l.known(l.digest(apps[i].verifier.String(), password)) {
			return &apps[i], nil
		}
	}
	if err := l.takePlace(ctx); err != nil {
		return nil, err
	}
	defer l.givePlace()
	derived := map[string]sasl.Verifier{}
	var found *AppPassword
	for i, p := range apps {
		cost := fmt.Sprintf("%x %d", p.verifier.Salt, p.verifier.Iterations)
		v, known := derived[cost]
		if !known {
			var err error
			if v, err = sasl.Derive(password, p.verifier.Salt, p.verifier.Iterations); err != nil {
				return nil, nil //nolint:nilerr,nilnil // no password of ours
			}
			derived[cost] = v
		}
		if subtle.ConstantTimeCompare(v.StoredKey[:], p.verifier.StoredKey[:]) == 1 {
			found = &apps[i]
		}
	}
	if found != nil {
		l.remember(l.digest(found.verifier.String(), password))
	}
	return found, nil
}

// takePlace waits for a place to hash in.
func (l *login) takePlace(ctx context.Context) error {
	wait := time.NewTimer(hashWait)
	defer wait.Stop()
	select {
	case l.places <- struct{}{}:
		return nil
	case <-wait.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *login) givePlace() {
	<-l.places
	l.idle.Reset(hashRest)
}

func (l *login) digest(encoded, password string) (d [32]byte) {
	mac := hmac.New(sha256.New, l.key[:])
	mac.Write([]byte(encoded))
	mac.Write([]byte{0})
	mac.Write([]byte(password))
	mac.Sum(d[:0])
	return d
}

func (l *login) known(d [32]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, ok := l.recent[d]
	if ok && time.Now().After(until) {
		delete(l.recent, d)
		return false
	}
	return ok
}

func (l *login) remember(d [32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.recent) >= maxRecent {
		clear(l.recent)
	}
	l.recent[d] = time.Now().Add(cacheFor)
}

var sqlLogin = db.SQL("SELECT password FROM account WHERE key = ?")

// Authenticate returns the account that a login name and password belong to.
// ErrCredentials says that they do not match, in the same time whether there
// is such a user or not. Any other error is temporary.
func (d *Directory) Authenticate(ctx context.Context, name, password string) (Login, error) {
	encoded, acc := d.login.decoy, Account{}
	addr, err := mail.ParseAddress(name)
	if err == nil {
		err = d.o.DB.Read(ctx, func(tx *db.Tx) error {
			found, ok, err := oneAccount(tx, sqlByKey, addr.Key())
			if err != nil || !ok {
				return err
			}
			acc = found
			return tx.Row(sqlLogin, []any{addr.Key()}, &encoded)
		})
		if err != nil {
			return Login{}, err
		}
	}
	if len(password) > maxPassword {
		password = password[:maxPassword]
		encoded = d.login.decoy
	}
	ok, err := d.login.check(ctx, encoded, password)
	if err != nil {
		return Login{}, err
	}
	if !ok || acc.ID == 0 {
		return Login{}, ErrCredentials
	}
	return Login{acc, ownPassword(encoded)}, nil
}
