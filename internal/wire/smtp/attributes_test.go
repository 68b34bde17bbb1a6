package smtp_test

import (
	"fmt"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestAttributes(t *testing.T) {
	t.Parallel()
	got, err := smtp.ParseAttributes("name=[UNAVAILABLE] ADDR=IPv6:2001:db8::1 PORT=25 HELO=a+20b LOGIN=[tempunavail]")
	if want := "[{NAME } {ADDR IPv6:2001:db8::1} {PORT 25} {HELO a b} {LOGIN }]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v", got, err)
	}
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "IPV6:::ffff:192.0.2.1": "192.0.2.1", "": "invalid IP", "ipv6:2001:DB8::1": "2001:db8::1"} {
		if addr, err := (smtp.Attribute{Value: in}).Addr(); err != nil || addr.String() != want {
			t.Errorf("%q: %v, %v", in, addr, err)
		}
	}
	for _, in := range []string{"here", "IPV6:", "fe80::1%eth0", "1.2.3"} {
		if addr, err := (smtp.Attribute{Value: in}).Addr(); err == nil {
			t.Errorf("%q: %v", in, addr)
		}
	}
	for _, in := range []string{"-1", "65536", "x"} {
		if port, err := (smtp.Attribute{Value: in}).Port(); err == nil {
			t.Errorf("%q: %v", in, port)
		}
	}
	for _, in := range []string{"", "NAME", "=x", "NAME=+", "NAME=a+0D+0AEHLO", "N M=x"} {
		if got, err := smtp.ParseAttributes(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}
