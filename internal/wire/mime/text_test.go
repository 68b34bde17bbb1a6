package mime

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestDecodeWords(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"plain", "plain"},
		{"=?utf-8?Q?J=C3=BCrgen_X?=", "Jürgen X"},
		{"=?UTF-8?b?5pel5pys6Kqe?=", "日本語"},
		{"a =?utf-8?q?b?= c", "a b c"},
		{"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"},
		{"=?utf-8?q?a?= \t =?iso-8859-1?q?=E9?=", "aé"},
		{"=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"},
		// A character cut in two.
		{"=?utf-8?B?5pel5g==?= =?utf-8?B?nKzoqp4=?=", "日本語"},
		{"=?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=", "日本語"},
		{"=?iso-2022-jp?B?GyRCRnxL?= =?iso-2022-jp?B?XDhsGyhC?=", "日本語"},
		{"=?EUC-JP?B?xvzL3Ljs?=", "日本語"},
		{"=?Shift_JIS?B?k/qWe4zq?=", "日本語"},
		{"=?cp932?B?k/qWe4zq?=", "日本語"},
		{"=?gb2312?B?1tDOxA==?=", "中文"},
		{"=?koi8-r?B?8NLJ18XU?=", "Привет"},
		{"=?us-ascii*en?Q?Keith?=", "Keith"},
		{"=?utf-8?Q?with space?=", "with space"},
		{"=?utf-8?Q?a=?=", "a="},
		{"=?utf-8?B?YQ?=", "a"},
		{"=?utf-8?B?Y*Q=!=?=", "a"},
		{"=?x-none?Q?abc?=", "=?x-none?Q?abc?="},
		{"=?utf-8?X?abc?=", "=?utf-8?X?abc?="},
		{"=?utf-8?Q?abc", "=?utf-8?Q?abc"},
		{"=?", "=?"},
		{"x=?utf-8?Q?a?=y", "xay"},
		{"raw \xe9", "raw \ufffd"},
		{"raw ü =?utf-8?Q?a?=", "raw ü a"},
	}
	for _, tt := range tests {
		if got := DecodeWords(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzDecodeWords(f *testing.F) {
	f.Add("=?utf-8?Q?J=C3=BCrgen?= =?utf-8?B?5pel?= x")
	f.Add("=?iso-2022-jp?B?GyRCRnxL?= =?iso-2022-jp?B?XDhsGyhC?=")
	f.Fuzz(func(t *testing.T, s string) {
		out := DecodeWords(s)
		if !utf8.ValidString(out) {
			t.Fatalf("%q is not UTF-8", out)
		}
		if len(out) > 6*len(s)+6 {
			t.Fatalf("%d bytes from %d", len(out), len(s))
		}
		if !strings.Contains(s, "=?") && utf8.ValidString(s) && out != s {
			t.Fatalf("%q became %q", s, out)
		}
	})
}

func TestTextReader(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, enc, charset, want string }{
		{"abc\r\n", "", "", "abc\r\n"},
		{"SGVs*bG8s\r\nIHdv cmxk!!IQ==\r\nU2Vjb25k", "BASE64", "utf-8", "Hello, world!Second"},
		{"YWI", "base64", "", "ab"},
		{"a=20b=3D=\r\nc= \t\r\nd=\ne=zz=\r\n", "quoted-printable", "", "a b=cde=zz"},
		{"=E6=97=a5", "Quoted-Printable ", "utf-8", "日"},
		{"end=", "quoted-printable", "", "end"},
		{"end=4", "quoted-printable", "", "end=4"},
		{"=1B$BF|K\\8l=1B(B", "quoted-printable", "ISO-2022-JP", "日本語"},
		{"k/qWe4zq", "base64", "Shift_JIS", "日本語"},
		{"\xe9", "8bit", "\"iso-8859-1\"", "é"},
		{"\xe9", "x-unknown", "x-unknown", "\xe9"},
		{"\x00a\x00b", "binary", "utf-16", "ab"},
	}
	for _, tt := range tests {
		for _, r := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, err := io.ReadAll(TextReader(r, tt.enc, tt.charset))
			if err != nil || string(got) != tt.want {
				t.Errorf("%q %s %s: %q %v, want %q", tt.in, tt.enc, tt.charset, got, err, tt.want)
			}
		}
	}
	p := ParseBytes([]byte("Content-Type: text/plain; charset*=''iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n"), Limits{})
	if got, err := io.ReadAll(p.Text(strings.NewReader("6Q=="))); err != nil || string(got) != "é" {
		t.Errorf("part text: %q %v", got, err)
	}
}

func TestTransferRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOf(rapid.Byte()).Draw(t, "data")
		encoded := base64.StdEncoding.EncodeToString(data)
		cut := rapid.IntRange(0, len(encoded)).Draw(t, "cut")
		encoded = encoded[:cut] + "\r\n" + encoded[cut:]
		got, err := io.ReadAll(TransferReader(iotest.HalfReader(strings.NewReader(encoded)), "base64"))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("base64 %q: %q %v", data, got, err)
		}
		var qp bytes.Buffer
		w := quotedprintable.NewWriter(&qp)
		w.Binary = true
		_, _ = w.Write(data) // into memory
		_ = w.Close()
		got, err = io.ReadAll(TransferReader(iotest.HalfReader(&qp), "quoted-printable"))
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("quoted-printable %q: %q %v", data, got, err)
		}
	})
}

func FuzzTextReader(f *testing.F) {
	f.Add([]byte("SGVs*bG8="), uint8(0), uint8(0))
	f.Add([]byte("a=20= \r\n=4"), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, enc, charset uint8) {
		encs := []string{"base64", "quoted-printable", "7bit"}
		charsets := []string{"", "iso-2022-jp", "shift_jis", "euc-jp", "utf-16", "gb18030", "nonsense"}
		e, c := encs[int(enc)%len(encs)], charsets[int(charset)%len(charsets)]
		whole, err := io.ReadAll(TextReader(bytes.NewReader(b), e, c))
		if err != nil {
			t.Fatal(err)
		}
		slow, err := io.ReadAll(TextReader(iotest.OneByteReader(bytes.NewReader(b)), e, c))
		if err != nil || !bytes.Equal(whole, slow) {
			t.Fatalf("%q, byte by byte %q %v", whole, slow, err)
		}
	})
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"Mon, 2 Jan 2006 15:04:05 +0900", "2006-01-02T15:04:05+09:00"},
		{"2 Jan 2006 15:04 -0000", "2006-01-02T15:04:00Z"},
		{"Mon, 02 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05Z"},
		{"Mon,2 jan 06 15:04:05 EST", "2006-01-02T15:04:05-05:00"},
		{"2 Jan 99 15:04:05 PDT", "1999-01-02T15:04:05-07:00"},
		{"2 Jan 106 15:04:05 A", "2006-01-02T15:04:05Z"},
		{"Mon, 2 (day) Jan (month (nested)) 2006 15:04:05 +0900 (JST)", "2006-01-02T15:04:05+09:00"},
		{"Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z"},
		{"Mon Jan  2 15:04:05 JST 2006", "2006-01-02T15:04:05+09:00"},
		{"Monday, 02-Jan-06 15:04:05 GMT", "2006-01-02T15:04:05Z"},
		{"2006-01-02T15:04:05+09:00", "2006-01-02T15:04:05+09:00"},
		{"2006-01-02 15:04:05.123Z", "2006-01-02T15:04:05Z"},
		{"January 2nd, 2006 3:04 PM", "2006-01-02T15:04:00Z"},
		{"2 Jan 2006", "2006-01-02T00:00:00Z"},
		{"Mon, 2 Jan 2006 15:04:05 GMT+9", "2006-01-02T15:04:05+09:00"},
		{"Mon, 2 Jan 2006 15:04:05 +9999", "2006-01-02T15:04:05Z"},
		{"Mon, 2 Jan 2006 15:04:05 XYZ", "2006-01-02T15:04:05Z"},
		{"", ""},
		{"yesterday", ""},
		{"32 Jan 2006", ""},
		{"2 Jan 2006 25:00", ""},
		{"2 Jan 2006 1:2:3:4", ""},
		{"(", ""},
		{"2 Jan 99999 10:00", ""},
	}
	for _, tt := range tests {
		got := ""
		if d, ok := ParseDate(tt.in); ok {
			got = d.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	f.Add("Mon, 2 Jan 2006 15:04:05 +0900 (JST)")
	f.Add("2006-01-02T15:04:05.9Z")
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := ParseDate(s)
		if !ok {
			return
		}
		again, ok := ParseDate(d.Format(time.RFC1123Z))
		if !ok || !again.Equal(d) {
			t.Fatalf("%q: %v, again %v %v", s, d, again, ok)
		}
	})
}
