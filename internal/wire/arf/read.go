// Package arf reads complaints about mail: the Abuse Reporting Format (RFC 5965).
package arf

import (
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/wire/dsn"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

// Report is one complaint. What it says is the claim of whoever sent it.
type Report struct {
	Type       string // "abuse", "fraud", "virus", "not-spam" ..., in lower case
	UserAgent  string // what wrote it
	Version    string
	EnvelopeID string
	MailFrom   string   // the reverse-path of the message, without brackets
	RcptTo     []string // its recipients
	Arrival    time.Time
	Hostname   string     // the reporting MTA
	SourceIP   netip.Addr // where the message came from
	Incidents  int        // how many such messages it stands for, at least 1
	Domains    []string   // Reported-Domain
	Original   mime.Header
}

const (
	// maxFields bounds the part for machines.
	maxFields = 64 << 10
	// maxListed bounds the recipients and the domains that are kept.
	maxListed = 100
)

// Complains tells whether somebody did not want the message (RFC 5965 §7.3). The
// other types tell of mail that was wanted, or of failed authentication.
func (r *Report) Complains() bool {
	switch r.Type {
	case "abuse", "fraud", "virus", "other":
		return true
	}
	return false
}

// Read takes a message apart that may be a complaint; nil if it is none. The only
// errors are those of r, which has size octets.
func Read(r io.ReaderAt, size int64) (*Report, error) {
	d, err := dsn.Open(r, size)
	if err != nil {
		return nil, err
	}
	b, err := d.Body("message", "feedback-report", maxFields)
	if err != nil || b == nil {
		return nil, err
	}
	out := &Report{Incidents: 1}
	for group := range dsn.Groups(b) {
		for f := range group.All() {
			out.field(f)
		}
	}
	// RFC 5965 §3.1: what has no type is no report.
	if out.Type == "" {
		return nil, nil
	}
	out.Original, err = d.Returned()
	return out, err
}

// field reads one (RFC 5965 §3).
func (r *Report) field(f mime.Field) {
	v := dsn.Value(f)
	switch strings.ToLower(string(f.Name)) {
	case "feedback-type":
		r.Type = strings.ToLower(v)
	case "user-agent":
		r.UserAgent = v
	case "version":
		r.Version = v
	case "original-envelope-id":
		r.EnvelopeID = v
	case "original-mail-from":
		_, r.MailFrom = dsn.Typed(v)
	case "original-rcpt-to":
		if _, to := dsn.Typed(v); len(r.RcptTo) < maxListed && to != "" {
			r.RcptTo = append(r.RcptTo, to)
		}
	case "arrival-date", "received-date": // the second is the older name
		r.Arrival, _ = mime.ParseDate(v)
	case "reporting-mta":
		_, r.Hostname = dsn.Typed(v)
	case "source-ip":
		r.SourceIP, _ = netip.ParseAddr(v)
	case "incidents":
		if n, err := strconv.Atoi(v); err == nil && n > 0 {
			r.Incidents = n
		}
	case "reported-domain":
		if len(r.Domains) < maxListed && v != "" {
			r.Domains = append(r.Domains, v)
		}
	}
}
