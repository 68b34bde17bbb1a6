package sevenbit

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, in string
		want     Report
	}{
		{"nothing", "Subject: x\r\n\r\nx\r\n", Report{}},
		{"empty", "", Report{}},
		{"header", "Subject: \xff\r\n\r\nx\r\n", Report{Header: Octets{High: true}}},
		{"body", "dkim-signature: v=1\r\n\r\n\xff", Report{Body: Octets{High: true}, DKIM: true}},
		{"998 octets are fine", "S: x\r\n\r\n" + strings.Repeat("x", 998) + "\r\n", Report{}},
		{"999 are not", "S: x\r\n\r\n" + strings.Repeat("x", 999), Report{Body: Octets{Long: true}}},
		{"a NUL and a bare CR", "S: x\r\n\r\n\x00\r", Report{Body: Octets{NUL: true, Bare: true}}},
		{"a CR that a CRLF follows", "S: x\r\n\r\na\r\r\n", Report{Body: Octets{Bare: true}}},
		{"bare LF", "S: x\n\nx\n", Report{Header: Octets{Bare: true}, Body: Octets{Bare: true}}},
		{"before the standard", "Content-Type: application/x-pkcs7-mime\r\n\r\nx\r\n", Report{SMIME: true}},
		{"types", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n" +
			"Content-Type: application/pkcs7-mime\r\n\r\n\r\n--c--\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" +
			"Content-Type: multipart/encrypted; boundary=d\r\n\r\n--d\r\n\r\nx\r\n--d--\r\n--b--\r\n",
			Report{Signed: true, Encrypted: true, SMIME: true, Message: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := Inspect(byteByByte{row.in}, int64(len(row.in)))
			if err != nil {
				t.Fatal(err)
			}
			if sealed := row.want.DKIM || row.want.Signed || row.want.SMIME; got.Sealed() != sealed {
				t.Errorf("sealed: %v", got.Sealed())
			}
			got.root, got.size = nil, 0
			if *got != row.want {
				t.Errorf("got %+v\nwant %+v", *got, row.want)
			}
		})
	}
}

// byteByByte is a source that gives one octet at a time.
type byteByByte struct{ s string }

func (b byteByByte) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b.s)) {
		return 0, io.EOF
	}
	return copy(p[:min(1, len(p))], b.s[off:]), nil
}

func TestPlanIsRepeatable(t *testing.T) {
	t.Parallel()
	prefix, body := "Received: by here\r\n", "Subject: x\r\n\r\n"+strings.Repeat("Grüße aus Zürich, und Umgebung\r\n", 5000)
	src := Join([]byte(prefix), strings.NewReader(body))
	report, err := Inspect(src, int64(len(prefix)+len(body)))
	if err != nil {
		t.Fatal(err)
	}
	plan, err := report.Plan(src)
	if err != nil || !plan.Changes() {
		t.Fatal(plan, err)
	}
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if n, err := plan.WriteTo(out); err != nil || n != plan.Size() || n != int64(out.Len()) {
			t.Fatalf("wrote %d of %d: %v", n, plan.Size(), err)
		}
	}
	if first.String() != second.String() {
		t.Error("two conversions differ")
	}
	if want, err := convert(t, prefix+body); err != nil || want != first.String() {
		t.Errorf("the joined message is converted otherwise: %v", err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	msg := "Subject: x\r\n\r\n" + strings.Repeat("Zürich und noch ein ganz langer Text\r\n", 10000)
	if _, err := Inspect(strings.NewReader(msg), int64(len(msg))+1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a short source: %v", err)
	}
	report, err := Inspect(strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Plan(strings.NewReader(msg[:len(msg)-1])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that became short: %v", err)
	}
	plan, err := report.Plan(strings.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.WriteTo(&failing{left: 50000}); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a destination that fails: %v", err)
	}
}

type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, iotest.ErrTimeout
	}
	return len(p), nil
}

func TestHigh(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		p := bytes.Repeat([]byte{0x7f}, n)
		if High(p) {
			t.Errorf("%d octets of ASCII", n)
		}
		for i := range p {
			p[i] = 0x80
			if !High(p) {
				t.Errorf("octet %d of %d", i, n)
			}
			p[i] = 0x7f
		}
	}
}
