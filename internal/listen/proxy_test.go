package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// printV1 writes a version 1 header.
func printV1(source, destination netip.AddrPort) string {
	family := "TCP4"
	if source.Addr().Is6() {
		family = "TCP6"
	}
	return fmt.Sprintf("PROXY %s %s %s %d %d\r\n", family, source.Addr(), destination.Addr(), source.Port(), destination.Port())
}

// v2 writes a version 2 header around a body.
func v2(command, family byte, body string) string {
	b := append([]byte(signatureV2), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	return string(b) + body
}

// printV2 writes a version 2 header with additions behind the addresses.
func printV2(source, destination netip.AddrPort, additions string) string {
	family := byte(familyTCP4)
	if source.Addr().Is6() {
		family = familyTCP6
	}
	body := append(source.Addr().AsSlice(), destination.Addr().AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, source.Port())
	body = binary.BigEndian.AppendUint16(body, destination.Port())
	return v2(commandProxy, family, string(body)+additions)
}

func addition(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// withChecksum adds a right checksum to a version 2 header's additions.
func withChecksum(source, destination netip.AddrPort) string {
	b := []byte(printV2(source, destination, addition(typeCRC32C, "\x00\x00\x00\x00")+addition(1, "h2")))
	at := fixedV2 + 2*len(source.Addr().AsSlice()) + 4 + 3
	binary.BigEndian.PutUint32(b[at:], checksum(b, at))
	return string(b)
}

func endpoints() (a4, b4, a6, b6 netip.AddrPort) {
	return netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("198.51.100.7:25"),
		netip.MustParseAddrPort("[2001:db8::1]:40000"), netip.MustParseAddrPort("[2001:db8::2]:25")
}

func TestProxyHeaders(t *testing.T) {
	t.Parallel()
	a4, b4, a6, b6 := endpoints()
	for _, c := range []struct {
		name, in string
		source   netip.AddrPort // invalid = the socket's addresses hold
		err      error
	}{
		{"v1 over IPv4", printV1(a4, b4), a4, nil},
		{"v1 over IPv6", printV1(a6, b6), a6, nil},
		{"v1 of an unknown family", "PROXY UNKNOWN\r\n", netip.AddrPort{}, nil},
		{"v1 unknown with words to ignore", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", netip.AddrPort{}, nil},
		{"v1 with a wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with IPv4 as TCP6", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with a leading zero in a port", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with a port too large", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with a signed port", "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with two spaces", "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 with a word too many", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", netip.AddrPort{}, errProxy},
		{"v1 with a word too few", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", netip.AddrPort{}, errProxy},
		{"v1 with octal digits", "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", netip.AddrPort{}, errProxy},
		{"v1 that ends in LF", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", netip.AddrPort{}, errProxy},
		{"v1 without end", "PROXY UNKNOWN " + strings.Repeat("x", maxV1), netip.AddrPort{}, errProxyLong},
		{"v1 in lower case", "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", netip.AddrPort{}, errProxy},
		{"SMTP", "EHLO client\r\n", netip.AddrPort{}, errProxy},
		{"TLS", "\x16\x03\x01\x02\x00", netip.AddrPort{}, errProxy},
		{"v2 over IPv4", printV2(a4, b4, ""), a4, nil},
		{"v2 over IPv6", printV2(a6, b6, ""), a6, nil},
		{"v2 with additions", printV2(a4, b4, addition(1, "h2")+addition(4, "")), a4, nil},
		{"v2 with its checksum", withChecksum(a4, b4), a4, nil},
		{"v2 with a wrong checksum", printV2(a4, b4, addition(typeCRC32C, "abcd")), netip.AddrPort{}, errProxyDamage},
		{"v2 with a short checksum", printV2(a4, b4, addition(typeCRC32C, "abc")), netip.AddrPort{}, errProxyDamage},
		{"v2 with an addition cut off", printV2(a4, b4, "\x01\x00\x05h"), netip.AddrPort{}, errProxy},
		{"v2 with half an addition's head", printV2(a4, b4, "\x01\x00"), netip.AddrPort{}, errProxy},
		{"v2 local", v2(commandLocal, familyTCP4, "whatever"), netip.AddrPort{}, nil},
		{"v2 of an unknown family", v2(commandProxy, familyUnknown, "whatever"), netip.AddrPort{}, nil},
		{"v2 over a unix socket", v2(commandProxy, familyUnix, strings.Repeat("\x00", 216)), netip.AddrPort{}, nil},
		{"v2 over a short unix socket", v2(commandProxy, familyUnix, strings.Repeat("\x00", 215)), netip.AddrPort{}, errProxy},
		{"v2 over UDP", v2(commandProxy, 0x12, strings.Repeat("\x00", 12)), netip.AddrPort{}, errProxy},
		{"v2 of another version", v2(0x31, familyTCP4, strings.Repeat("\x00", 12)), netip.AddrPort{}, errProxy},
		{"v2 of another command", v2(0x22, familyTCP4, strings.Repeat("\x00", 12)), netip.AddrPort{}, errProxy},
		{"v2 too short for its addresses", v2(commandProxy, familyTCP4, strings.Repeat("\x00", 11)), netip.AddrPort{}, errProxy},
		{"v2 too long", v2(commandProxy, familyTCP4, strings.Repeat("\x00", maxV2)), netip.AddrPort{}, errProxyLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const rest = "EHLO me\r\n"
			h, done, err := parseProxy([]byte(c.in + rest))
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			if !done || h.size != len(c.in) {
				t.Errorf("done %v, size %d, want %d", done, h.size, len(c.in))
			}
			if h.known != c.source.IsValid() || h.source != c.source {
				t.Errorf("source %v (known %v), want %v", h.source, h.known, c.source)
			}
			for n := range len(c.in) {
				if _, done, err := parseProxy([]byte(c.in[:n])); done || err != nil {
					t.Fatalf("with %d octets: done %v, %v", n, done, err)
				}
			}
		})
	}
}

func FuzzProxy(f *testing.F) {
	a4, b4, a6, b6 := endpoints()
	for _, seed := range []string{
		printV1(a4, b4), printV1(a6, b6), "PROXY UNKNOWN\r\n", printV2(a4, b4, ""), printV2(a6, b6, addition(1, "h2")),
		withChecksum(a6, b6), v2(commandLocal, 0, ""), "EHLO x\r\n", "PROXY TCP6 ::ffff:1.2.3.4 ::1 0 0\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, done, err := parseProxy(b)
		switch {
		case err != nil:
			if done {
				t.Error("done with an error")
			}
			return
		case !done:
			if len(b) >= maxV2 {
				t.Errorf("%d octets and no end", len(b))
			}
			return
		case h.size > len(b) || h.size > maxV2:
			t.Errorf("size %d of %d octets", h.size, len(b))
		}
		if !h.known {
			return
		}
		if h.source.Addr().Is4In6() || h.source.Addr().Is4() != h.destination.Addr().Is4() {
			return // a mapped address, which is printed as IPv4
		}
		for _, text := range []string{printV1(h.source, h.destination), printV2(h.source, h.destination, "")} {
			again, done, err := parseProxy([]byte(text))
			if err != nil || !done || again.source != h.source || again.destination != h.destination {
				t.Errorf("%q: %+v, %v, %v; want %+v", text, again, done, err, h)
			}
		}
	})
}
