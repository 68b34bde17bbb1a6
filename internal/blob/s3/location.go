package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// DefaultEndpoint is where buckets are without an endpoint in the URL.
const DefaultEndpoint = "s3.amazonaws.com"

// Location is where a bucket is, without the keys to it.
type Location struct {
	Bucket   string
	Prefix   string // of every key, without a slash at its ends; "" = none
	Endpoint string // "host" or "host:port"
	Region   string // "" = ask the service
	Secure   bool   // TLS
}

var errCredentials = errors.New("the URL of an S3 store holds no keys: they belong in the environment or in a file of their own")

// ParseURL reads "s3://bucket/prefix?endpoint=host:port&region=name&tls=off".
// The endpoint may also be "http://host:port" or "https://host". The error
// never repeats the URL, in which somebody may have put a key.
func ParseURL(raw string) (Location, error) {
	rest, ok := strings.CutPrefix(raw, "s3://")
	if !ok {
		return Location{}, errors.New(`the URL of an S3 store starts with "s3://" and the name of the bucket`)
	}
	path, query, _ := strings.Cut(rest, "?")
	if strings.ContainsAny(path, "@:") {
		return Location{}, errCredentials
	}
	if strings.Contains(rest, "#") {
		return Location{}, errors.New(`the URL of an S3 store has no "#"`)
	}
	l := Location{Endpoint: DefaultEndpoint, Secure: true}
	l.Bucket, l.Prefix, _ = strings.Cut(path, "/")
	l.Prefix = strings.Trim(l.Prefix, "/")
	if err := l.check(); err != nil {
		return Location{}, err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Location{}, errors.New("the part of the S3 store's URL behind the question mark cannot be read: write name=value, joined by &")
	}
	return l, l.options(values)
}

func (l *Location) check() error {
	if n := len(l.Bucket); n < 3 || n > 63 || !only(l.Bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") {
		return errors.New("the name of an S3 bucket has 3 to 63 of: small letters, digits, dot, hyphen")
	}
	const fine = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"
	if !only(l.Prefix, fine) || strings.Contains(l.Prefix, "//") || strings.Contains(l.Prefix, "..") {
		return errors.New("the prefix in an S3 bucket is made of letters, digits, dot, hyphen and underscore, with single slashes between")
	}
	return nil
}

// options reads what stands behind the question mark.
func (l *Location) options(values url.Values) error {
	tls := ""
	for name, list := range values {
		if len(list) != 1 || list[0] == "" {
			return fmt.Errorf("%q stands once in the URL of an S3 store, with a value", name)
		}
		switch name {
		case "endpoint":
			l.Endpoint = list[0]
		case "region":
			l.Region = list[0]
		case "tls":
			tls = list[0]
		case "access_key", "secret_key", "access-key", "secret-key", "accesskey", "secretkey", "user", "password", "token":
			return errCredentials
		default:
			return errors.New("the URL of an S3 store knows endpoint, region and tls behind its question mark, nothing else")
		}
	}
	if err := l.endpoint(); err != nil {
		return err
	}
	switch tls {
	case "":
	case "on", "off":
		l.Secure = tls == "on"
	default:
		return errors.New("tls in the URL of an S3 store is on or off")
	}
	return nil
}

func (l *Location) endpoint() error {
	scheme, host, ok := strings.Cut(l.Endpoint, "://")
	switch {
	case ok && scheme == "http":
		l.Secure = false
	case ok && scheme != "https":
		return errors.New("the endpoint of an S3 store is host:port, or starts with http:// or https://")
	case !ok:
		host = l.Endpoint
	}
	host = strings.TrimSuffix(host, "/")
	if strings.Contains(host, "@") {
		return errCredentials
	}
	if u, err := url.Parse("//" + host); err != nil || u.Host != host || u.Hostname() == "" {
		return errors.New("the endpoint of an S3 store is a host, or host:port, without a path")
	}
	l.Endpoint = host
	return nil
}

func only(s, set string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(set, r) })
}
