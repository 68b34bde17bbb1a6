package sevenbit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hayauma/hayauma/internal/wire/mime"
	"github.com/hayauma/hayauma/test/letters"
)

// FuzzConvert takes any octets: either there is an obstacle, or our own parser
// finds the same leaves before and after.
func FuzzConvert(f *testing.F) {
	paths, _ := filepath.Glob("../testdata/*.eml")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\r\n--b\r\n" +
		"Content-Type: message/rfc822\r\n\r\nContent-Type: image/png\r\n\r\n\xff\r\n--b--\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		msg := string(b)
		got, err := convert(t, msg)
		if obstacle := Obstacle(""); errors.As(err, &obstacle) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkSevenBit(t, msg, got)
		before, after := inspect(t, msg), inspect(t, got)
		if report := after; !report.SevenBit() {
			t.Fatalf("%+v of\n%q", report, got)
		}
		want, have := ownLeaves(t, msg, before.root), ownLeaves(t, got, after.root)
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("leaves (-before +after):\n%s\nof\n%q\nas\n%q", diff, msg, got)
		}
		plan, err := before.Plan(strings.NewReader(msg))
		if err != nil || plan.Size() != int64(len(got)) {
			t.Fatalf("planned %d octets (%v), wrote %d", plan.Size(), err, len(got))
		}
	})
}

func ownLeaves(t rapid.TB, msg string, q *mime.Part) []letters.Leaf {
	if !isLeaf(q) {
		list := []letters.Leaf{{Kind: q.Type + "/" + q.Subtype, Body: fmt.Sprint(len(q.Children))}}
		for i := range q.Children {
			list = append(list, ownLeaves(t, msg, &q.Children[i])...)
		}
		return list
	}
	body, err := io.ReadAll(mime.TransferReader(strings.NewReader(msg[q.BodyOffset():q.End()]), q.Encoding))
	if err != nil {
		t.Fatal(err)
	}
	kind := q.Type
	if kind == "message" {
		kind = "application" // what the parser says of a message that is encoded
	}
	return []letters.Leaf{{Kind: kind, Body: string(body)}}
}

func BenchmarkConvert(b *testing.B) {
	text := strings.Repeat("Grüße aus Zürich, und ein paar Wörter mehr, wie sie in Briefen stehen.\r\n", 1<<14)
	for name, msg := range map[string]string{
		"7-bit":  "Subject: x\r\n\r\n" + strings.NewReplacer("ü", "u", "ß", "s", "ö", "o").Replace(text),
		"text":   "Subject: x\r\n\r\n" + text,
		"binary": "Content-Type: image/png\r\n\r\n" + text,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Convert(io.Discard, strings.NewReader(msg), int64(len(msg))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
