package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"time"
)

// GzipType is the media type of what Report.Gzip returns (RFC 8460 §6.5).
const GzipType = "application/tlsrpt+gzip"

// Types of policies (RFC 8460 §4.4).
const (
	NoPolicy = "no-policy-found"
	STS      = "sts"
	TLSA     = "tlsa"
)

// Result types (RFC 8460 §4.3.1 and §4.3.2).
const (
	NoSTARTTLS   = "starttls-not-supported"
	OtherHost    = "certificate-host-mismatch"
	Expired      = "certificate-expired"
	NotTrusted   = "certificate-not-trusted"
	OtherFailure = "validation-failure"

	TLSAInvalid   = "tlsa-invalid"
	DNSSECInvalid = "dnssec-invalid"
	DANERequired  = "dane-required"

	STSFetchError    = "sts-policy-fetch-error"
	STSInvalid       = "sts-policy-invalid"
	STSWebPKIInvalid = "sts-webpki-invalid"
)

// IsResult tells whether the RFC knows a result type.
func IsResult(s string) bool {
	switch s {
	case NoSTARTTLS, OtherHost, Expired, NotTrusted, OtherFailure, TLSAInvalid, DNSSECInvalid, DANERequired,
		STSFetchError, STSInvalid, STSWebPKIInvalid:
		return true
	}
	return false
}

// Report is what a domain is told of the connections to its exchangers (RFC 8460 §4.4).
type Report struct {
	Organization string        `json:"organization-name"`
	Range        DateRange     `json:"date-range"`
	Contact      string        `json:"contact-info"`
	ID           string        `json:"report-id"`
	Policies     []PolicyCount `json:"policies"`
}

// DateRange is what time a report is of.
type DateRange struct {
	Start time.Time `json:"start-datetime"`
	End   time.Time `json:"end-datetime"`
}

// Day is the range of the UTC day that begins at start; as in the RFC's example, its
// last second is the end.
func Day(start time.Time) DateRange {
	start = start.UTC()
	return DateRange{Start: start, End: start.Add(24*time.Hour - time.Second)}
}

// PolicyCount is how many connections came to what under one policy.
type PolicyCount struct {
	Policy   Policy    `json:"policy"`
	Summary  Summary   `json:"summary"`
	Failures []Failure `json:"failure-details,omitempty"`
}

// Policy is one that was applied.
type Policy struct {
	Type   string   `json:"policy-type"`
	Lines  []string `json:"policy-string,omitempty"`
	Domain string   `json:"policy-domain"` // A-labels
	// MX are the patterns of an MTA-STS policy. The RFC's text says a list, its example
	// has a string.
	MX []string `json:"mx-host,omitempty"`
}

// Summary counts connections.
type Summary struct {
	Succeeded int64 `json:"total-successful-session-count"`
	Failed    int64 `json:"total-failure-session-count"`
}

// Failure is one kind of failure. What is not known of it is empty.
type Failure struct {
	Type     string `json:"result-type"`
	Sender   string `json:"sending-mta-ip,omitempty"`
	Host     string `json:"receiving-mx-hostname,omitempty"`
	Receiver string `json:"receiving-ip,omitempty"`
	Sessions int64  `json:"failed-session-count"`
	Reason   string `json:"failure-reason-code,omitempty"`
}

// Gzip returns the report as it is sent (RFC 8460 §5.2).
func (r Report) Gzip() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(r); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
