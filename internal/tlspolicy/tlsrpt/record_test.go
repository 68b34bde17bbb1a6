package tlsrpt_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

func TestParseRecord(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		records []string
		want    string // empty = none
	}{
		"mail, as in the RFC":     {[]string{"v=TLSRPTv1;rua=mailto:reports@example.com"}, "mailto:reports@example.com"},
		"https, as in the RFC":    {[]string{"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt"}, "https://reporting.example.com/v1/tlsrpt"},
		"several":                 {[]string{"v=TLSRPTv1; rua=https://a.test/x , mailto:b@b.test,https://c.test:8443/?d=e"}, "https://a.test/x https://c.test:8443/?d=e mailto:b@b.test"},
		"a semicolon at the end":  {[]string{"v=TLSRPTv1; rua=https://a.test/ ; "}, "https://a.test/"},
		"wide":                    {[]string{"v=TLSRPTv1 \t; \t rua=https://a.test/"}, "https://a.test/"},
		"other fields":            {[]string{"v=TLSRPTv1; x.y-z=1; rua=https://a.test/; q=a~b"}, "https://a.test/"},
		"another scheme as well":  {[]string{"v=TLSRPTv1; rua=http://b.test/,ftp://c.test,HTTPS://a.test/"}, "HTTPS://a.test/"},
		"among others":            {[]string{"v=spf1 -all", "v=TLSRPTv1; rua=https://a.test/", "v=TLSRPTv2; rua=https://b.test/"}, "https://a.test/"},
		"too many":                {[]string{"v=TLSRPTv1; rua=" + strings.Repeat("https://a.test/,", 50)}, strings.TrimSpace(strings.Repeat("https://a.test/ ", 10))},
		"none":                    {nil, ""},
		"two":                     {[]string{"v=TLSRPTv1; rua=https://a.test/", "v=TLSRPTv1; rua=https://a.test/"}, ""},
		"two, the first empty":    {[]string{"v=TLSRPTv1;", "v=TLSRPTv1; rua=https://a.test/"}, ""},
		"two, the last malformed": {[]string{"v=TLSRPTv1; rua=https://a.test/", "v=TLSRPTv1; x"}, ""},
		"the version not first":   {[]string{"rua=https://a.test/; v=TLSRPTv1"}, ""},
		"the version in capitals": {[]string{"v=tlsrptv1; rua=https://a.test/"}, ""},
		"a space before it":       {[]string{" v=TLSRPTv1; rua=https://a.test/"}, ""},
		"no rua":                  {[]string{"v=TLSRPTv1; x=1"}, ""},
		"rua in capitals":         {[]string{"v=TLSRPTv1; RUA=x"}, ""},
		"nothing":                 {[]string{"v=TLSRPTv1"}, ""},
		"an empty rua":            {[]string{"v=TLSRPTv1; rua="}, ""},
		"an empty field":          {[]string{"v=TLSRPTv1;; rua=https://a.test/"}, ""},
		"a field without value":   {[]string{"v=TLSRPTv1; rua=https://a.test/; x"}, ""},
		"no host":                 {[]string{"v=TLSRPTv1; rua=https:///x"}, ""},
		"a password":              {[]string{"v=TLSRPTv1; rua=https://a:b@c.test/"}, ""},
		"a fragment":              {[]string{"v=TLSRPTv1; rua=https://c.test/#a"}, ""},
		"a size, as in DMARC":     {[]string{"v=TLSRPTv1; rua=mailto:a@b.test!10m"}, ""},
		"no URI":                  {[]string{"v=TLSRPTv1; rua=reports@example.com"}, ""},
		"too long":                {[]string{"v=TLSRPTv1; rua=https://a.test/" + strings.Repeat("x", 2000)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := tlsrpt.ParseRecord(c.records)
			got := strings.Join(append(r.HTTPS, r.Mail...), " ")
			if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, tlsrpt.ErrNoRecord) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// FuzzParseRecord: what is read is bounded, and can be written and read again.
func FuzzParseRecord(f *testing.F) {
	for _, s := range []string{
		"v=TLSRPTv1;rua=mailto:reports@example.com", "v=TLSRPTv1; rua=https://a.test/x , mailto:b@b.test;a=b;",
		"v=TLSRPTv1;", "v=TLSRPTv1; rua=https://[::1]:8443/%2c", "v=TLSRPTv1; rua=a; rua=https://x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := tlsrpt.ParseRecord([]string{s})
		if err != nil {
			return
		}
		all := append(append([]string{}, r.HTTPS...), r.Mail...)
		if len(all) == 0 || len(all) > 10 || !strings.HasPrefix(s, "v=TLSRPTv1") {
			t.Fatalf("%q gives %q", s, all)
		}
		again, err := tlsrpt.ParseRecord([]string{"x", "v=TLSRPTv1; rua=" + strings.Join(all, ",")})
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v again: %+v, %v", r, again, err)
		}
	})
}
