package tlsreport_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// field is one of RFC 8460 §4.4 by its name there: its kind, and whether it may be
// missing.
type field struct {
	kind     string
	optional bool
}

// fieldList is that of the RFC, written down from its text and not from our types.
func fieldList() map[string]map[string]field {
	return map[string]map[string]field{
		"report": {
			"organization-name": {kind: "text"}, "date-range": {kind: "range"}, "contact-info": {kind: "address"},
			"report-id": {kind: "text"}, "policies": {kind: "list of entry"},
		},
		"range": {"start-datetime": {kind: "time"}, "end-datetime": {kind: "time"}},
		"entry": {"policy": {kind: "policy"}, "summary": {kind: "summary"}, "failure-details": {"list of failure", true}},
		"policy": {
			"policy-type": {kind: "sts|tlsa|no-policy-found"}, "policy-string": {"list of text", true},
			"policy-domain": {kind: "domain"}, "mx-host": {"list of text", true},
		},
		"summary": {"total-successful-session-count": {kind: "count"}, "total-failure-session-count": {kind: "count"}},
		"failure": {
			"result-type": {kind: "starttls-not-supported|certificate-host-mismatch|certificate-expired|certificate-not-trusted|" +
				"validation-failure|tlsa-invalid|dnssec-invalid|dane-required|sts-policy-fetch-error|sts-policy-invalid|sts-webpki-invalid"},
			"sending-mta-ip": {"ip", true}, "receiving-mx-hostname": {"domain", true}, "receiving-mx-helo": {"text", true},
			"receiving-ip": {"ip", true}, "failed-session-count": {kind: "count"},
			"additional-information": {"text", true}, "failure-reason-code": {"text", true},
		},
	}
}

// fits says what is wrong with a value.
func fits(kind string, v any) error {
	if item, list := strings.CutPrefix(kind, "list of "); list {
		values, ok := v.([]any)
		if !ok || len(values) == 0 {
			return fmt.Errorf("%v is no %s", v, kind)
		}
		var errs []error
		for _, one := range values {
			errs = append(errs, fits(item, one))
		}
		return errors.Join(errs...)
	}
	if fields, object := fieldList()[kind]; object {
		return fitsObject(kind, fields, v)
	}
	if kind == "count" {
		n, ok := v.(json.Number)
		if !ok || !regexp.MustCompile(`^(0|[1-9][0-9]*)$`).MatchString(n.String()) {
			return fmt.Errorf("%v is no count", v)
		}
		return nil
	}
	text, ok := v.(string)
	ok = ok && text != ""
	switch kind {
	case "text":
	case "time":
		ok = ok && regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(text)
	case "address":
		ok = ok && regexp.MustCompile(`^[^@\s]+@[a-z0-9.-]+$`).MatchString(text)
	case "domain":
		ok = ok && regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*$`).MatchString(text)
	case "ip":
		_, err := netip.ParseAddr(text)
		ok = ok && err == nil
	default:
		ok = ok && slices.Contains(strings.Split(kind, "|"), text)
	}
	if !ok {
		return fmt.Errorf("%q is no %s", v, kind)
	}
	return nil
}

func fitsObject(kind string, fields map[string]field, v any) error {
	object, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%v is no %s", v, kind)
	}
	var errs []error
	for name, f := range fields {
		if _, there := object[name]; !there && !f.optional {
			errs = append(errs, fmt.Errorf("%s lacks %s", kind, name))
		}
	}
	for name, value := range object {
		f, known := fields[name]
		if !known {
			errs = append(errs, fmt.Errorf("%s has %s, which the RFC does not know", kind, name))
			continue
		}
		errs = append(errs, fits(f.kind, value))
	}
	return errors.Join(errs...)
}

// read checks a request that was posted, and returns its report: the head in one
// line, then a line for each policy and each failure, in order.
func read(t *testing.T, posted, to string) string {
	t.Helper()
	head, body, _ := strings.Cut(posted, "\n")
	if want := "POST " + to + " application/tlsrpt+gzip"; head != want {
		t.Fatalf("request %q, want %q", head, want)
	}
	z, err := gzip.NewReader(bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	if err := fits("report", v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	report := v.(map[string]any)
	span := report["date-range"].(map[string]any)
	out := []string{fmt.Sprint(report["organization-name"], " ", report["contact-info"], " ", report["report-id"], " ",
		span["start-datetime"], " ", span["end-datetime"])}
	var policies []string
	for _, one := range report["policies"].([]any) {
		policies = append(policies, lines(one.(map[string]any)))
	}
	slices.Sort(policies)
	return strings.Join(append(out, policies...), "\n")
}

func lines(entry map[string]any) string {
	p, s := entry["policy"].(map[string]any), entry["summary"].(map[string]any)
	out := []string{fmt.Sprint(p["policy-type"], " ", p["policy-domain"], " ", p["policy-string"], " ", p["mx-host"], " ",
		s["total-successful-session-count"], "+", s["total-failure-session-count"])}
	failures, _ := entry["failure-details"].([]any)
	for _, one := range failures {
		f := one.(map[string]any)
		out = append(out, fmt.Sprint("  ", f["failed-session-count"], " ", f["result-type"], " ", f["sending-mta-ip"], " ",
			f["receiving-mx-hostname"], " ", f["receiving-ip"], " ", f["failure-reason-code"]))
	}
	slices.Sort(out[1:])
	return strings.Join(out, "\n")
}
