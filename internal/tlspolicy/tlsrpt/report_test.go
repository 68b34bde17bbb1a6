package tlsrpt_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

// example is RFC 8460, appendix B, with the list that §4.4 asks for.
const example = `{
  "organization-name": "Company-X",
  "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
  "contact-info": "sts-reporting@company-x.example",
  "report-id": "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
  "policies": [{
    "policy": {
      "policy-type": "sts",
      "policy-string": ["version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"],
      "policy-domain": "company-y.example",
      "mx-host": ["*.mail.company-y.example"]
    },
    "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
    "failure-details": [{
      "result-type": "certificate-expired",
      "sending-mta-ip": "2001:db8:abcd:12::1",
      "receiving-mx-hostname": "mx1.mail.company-y.example",
      "failed-session-count": 100
    }, {
      "result-type": "validation-failure",
      "sending-mta-ip": "198.51.100.62",
      "receiving-mx-hostname": "mx-backup.mail.company-y.example",
      "receiving-ip": "203.0.113.58",
      "failed-session-count": 3,
      "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"
    }]
  }]
}`

// TestGzip writes the example of the RFC.
func TestGzip(t *testing.T) {
	t.Parallel()
	b, err := tlsrpt.Report{
		Organization: "Company-X", Range: tlsrpt.Day(time.Date(2016, 4, 1, 2, 0, 0, 0, time.FixedZone("", 7200))),
		Contact: "sts-reporting@company-x.example", ID: "5065427c-23d3-47ca-b6e0-946ea0e8c4be",
		Policies: []tlsrpt.PolicyCount{{
			Policy: tlsrpt.Policy{
				Type: tlsrpt.STS, Domain: "company-y.example", MX: []string{"*.mail.company-y.example"},
				Lines: []string{"version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"},
			},
			Summary: tlsrpt.Summary{Succeeded: 5326, Failed: 303},
			Failures: []tlsrpt.Failure{
				{Type: tlsrpt.Expired, Sender: "2001:db8:abcd:12::1", Host: "mx1.mail.company-y.example", Sessions: 100},
				{Type: tlsrpt.OtherFailure, Sender: "198.51.100.62", Host: "mx-backup.mail.company-y.example", Receiver: "203.0.113.58",
					Sessions: 3, Reason: "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"},
			},
		}},
	}.Gzip()
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(example), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", text, example)
	}
}
