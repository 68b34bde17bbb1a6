package sevenbit

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// crlf lets tests write messages with bare line feeds.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func convert(t rapid.TB, msg string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := Convert(&out, strings.NewReader(msg), int64(len(msg)))
	return out.String(), err
}

const mimeHead = "From: a@example.org\nMIME-Version: 1.0\n"

func TestConvert(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 999)
	for _, row := range []struct{ name, in, want string }{
		{"7-bit stays as it is, whatever it says",
			mimeHead + "Content-Transfer-Encoding: 8bit\n\nhello\n",
			mimeHead + "Content-Transfer-Encoding: 8bit\n\nhello\n"},
		{"text becomes quoted-printable, the field stays in its place",
			"MIME-Version: 1.0\nContent-transfer-encoding: 8BIT (yes)\nContent-Type: text/plain; charset=utf-8\nSubject: x\n\nGrüße \n.\nFrom me to you, more or less so\n=\n",
			"MIME-Version: 1.0\nContent-transfer-encoding: quoted-printable\nContent-Type: text/plain; charset=utf-8\nSubject: x\n\nGr=C3=BC=C3=9Fe=20\n=2E\n=46rom me to you, more or less so\n=3D\n"},
		{"a field is added where there is none",
			mimeHead + "Content-Type: text/html; charset=utf-8\n\n<p>a rather long text with one ü in it\n",
			mimeHead + "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n<p>a rather long text with one =C3=BC in it\n"},
		{"text that is shorter so becomes base64",
			mimeHead + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n日本語\n",
			mimeHead + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n5pel5pys6KqeDQo=\n"},
		{"what is no text becomes base64",
			mimeHead + "Content-Type: image/gif\nContent-Transfer-Encoding: binary\n\nGIF89a\xff and ASCII enough for the other encoding\n",
			mimeHead + "Content-Type: image/gif\nContent-Transfer-Encoding: base64\n\nR0lGODlh/yBhbmQgQVNDSUkgZW5vdWdoIGZvciB0aGUgb3RoZXIgZW5jb2RpbmcNCg==\n"},
		{"a message without MIME gets what it needs: UTF-8",
			"From: a@example.org\n\nolé, a text of some length\n",
			"From: a@example.org\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nol=C3=A9, a text of some length\n"},
		{"a message without MIME gets what it needs: RFC 1428",
			"From: a@example.org\n\nol\xe9, a text of some length\n",
			"From: a@example.org\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\nol=E9, a text of some length\n"},
		{"a long line breaks softly",
			"From: a@example.org\n\n" + long + "\n",
			"From: a@example.org\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: quoted-printable\n\n" +
				strings.Repeat(strings.Repeat("x", 75)+"=\n", 13) + long[:24] + "\n"},
		{"a soft line break makes no delimiter",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + long[:225] + "--b\n--bü\n" + long + "\n--b--\n",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: quoted-printable\n\n" +
				strings.Repeat(long[:75]+"=\n", 3) + "=2D-b\n=2D-b=C3=BC\n" + strings.Repeat(long[:75]+"=\n", 13) + long[:24] + "\n--b--\n"},
		{"parts are converted one by one, what holds them says 7bit",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\npreamble\n--b\nContent-Transfer-Encoding: 8bit\n\nplain\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: binary\n\nSubject: in\n\nüber alle Berge und Täler\n--b\n\nuntouched\n--b--\nepilogue\n",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\npreamble\n--b\nContent-Transfer-Encoding: 7bit\n\nplain\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n" +
				"Subject: in\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BCber alle Berge und T=C3=A4ler\n--b\n\nuntouched\n--b--\nepilogue\n"},
		{"a message/global is encoded as a whole",
			mimeHead + "Content-Type: message/global\n\nSubject: ü\n\nx\n",
			mimeHead + "Content-Type: message/global\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogw7wNCg0KeA0K\n"},
		{"a message/global that is a header only leaves the delimiter its line end",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\nContent-Type: message/global\n\nSubject: ü\n\n--b\nContent-Transfer-Encoding: 8bit\n--b--\n",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 7bit\n\n--b\nContent-Type: message/global\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogw7wNCg==\n--b\nContent-Transfer-Encoding: 7bit\n--b--\n"},
		{"base64 on one line is broken up",
			mimeHead + "Content-Type: image/gif\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat("AAAA", 250) + "\n",
			mimeHead + "Content-Type: image/gif\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat(strings.Repeat("A", 76)+"\n", 13) + strings.Repeat("A", 12) + "\n"},
		{"quoted-printable with raw octets is finished",
			mimeHead + "Content-Transfer-Encoding: quoted-printable\n\n=C3=BC and ü=\n.\n",
			mimeHead + "Content-Transfer-Encoding: quoted-printable\n\n=C3=BC and =C3=BC.\n"},
		{"a signed part stays, its neighbour does not",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\nContent-Transfer-Encoding: 8bit\n\n--c\nContent-Transfer-Encoding: 8bit\n\nsigned\n--c--\n--b\n\nnot signed, and from Zürich\n--b--\n",
			mimeHead + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\nContent-Transfer-Encoding: 7bit\n\n--c\nContent-Transfer-Encoding: 8bit\n\nsigned\n--c--\n--b\nContent-Transfer-Encoding: quoted-printable\n\nnot signed, and from Z=C3=BCrich\n--b--\n"},
		{"the same encoding said twice is said once",
			mimeHead + "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: 8BIT\nContent-Type: text/plain; charset=utf-8\n\nfrom Zürich with love\n",
			mimeHead + "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; charset=utf-8\n\nfrom Z=C3=BCrich with love\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := convert(t, crlf(row.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(crlf(row.want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestQuotedKeepsBareLineBreaks(t *testing.T) {
	t.Parallel()
	got, err := convert(t, "Subject: x\r\n\r\na\rb\nc \r\n\td, and then some words more\t")
	if err != nil {
		t.Fatal(err)
	}
	if _, body, _ := strings.Cut(got, "\r\n\r\n"); body != "a=0Db=0Ac=20\r\n\td, and then some words more=09" {
		t.Errorf("got %q", body)
	}
}

func TestBareLineEndOfADelimiter(t *testing.T) {
	t.Parallel()
	msg := crlf(mimeHead+"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/global\n\n") + "ü\n\n--b--\r\n"
	if got, err := convert(t, msg); !errors.Is(err, Between) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestObstacles(t *testing.T) {
	t.Parallel()
	multi := mimeHead + "Content-Type: multipart/mixed; boundary=b\n\n"
	deep := ""
	for range 60 {
		deep += "Content-Type: message/rfc822\n\n"
	}
	for _, row := range []struct {
		name, in string
		want     Obstacle
	}{
		{"8-bit header", "Subject: ü\n\nx\n", EightBitHeader},
		{"8-bit header of a part", multi + "--b\nContent-Description: ü\n\nx\n--b--\n", EightBitHeader},
		{"no blank line", "Nur Öde", EightBitHeader},
		{"long header", "Subject: " + strings.Repeat("x", 1000) + "\n\nx\n", BadHeader},
		{"NUL in the header", "Subject: \x00\n\nx\n", BadHeader},
		{"preamble", multi + "ü\n--b\n\nx\n--b--\n", Between},
		{"epilogue", multi + "--b\n\nx\n--b--\nü\n", Between},
		{"long epilogue", multi + "--b\n\nx\n--b--\n" + strings.Repeat("x", 999), Between},
		{"signed", mimeHead + "Content-Type: multipart/signed; boundary=b\n\n--b\n\nü\n--b--\n", SealedPart},
		{"signed preamble", mimeHead + "Content-Type: multipart/signed; boundary=b\n\nü\n--b\n\nx\n--b--\n", SealedPart},
		{"deep in encrypted", mimeHead + "Content-Type: multipart/encrypted; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\nü\n--b--\n", SealedPart},
		{"report", mimeHead + "Content-Type: message/delivery-status\n\nReporting-MTA: dns; ü\n", Composite},
		{"no boundary", mimeHead + "Content-Type: multipart/mixed\n\n--b\n\nü\n--b--\n", Composite},
		{"no part", multi + "ü\n", Composite},
		{"two types", mimeHead + "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\nü\n", Composite},
		{"too deep", deep + "Subject: x\n\nü\n", Composite},
		{"too deep, a message by default", strings.Repeat("Content-Type: message/rfc822\n\n", 48) +
			"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nü\n--b--\n", Composite},
		{"unknown encoding", mimeHead + "Content-Transfer-Encoding: x-uuencode\n\nü\n", UnknownEncoding},
		{"two encodings", mimeHead + "Content-Transfer-Encoding: 8bit\nContent-Transfer-Encoding: base64\n\nü\n", UnknownEncoding},
		{"large header", strings.Repeat("X: "+strings.Repeat("x", 900)+"\n", 300) + "\nü\n", TooComplex},
		{"large headers", multi + strings.Repeat("--b\n"+strings.Repeat("X: "+strings.Repeat("x", 900)+"\n", 200)+"\nx\n", 8) + "--b\n\nü\n--b--\n", TooComplex},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := convert(t, crlf(row.in))
			if !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			if got != "" {
				t.Errorf("something was written: %q", got)
			}
		})
	}
}
