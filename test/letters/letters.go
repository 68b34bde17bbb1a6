// Package letters makes messages with all kinds of parts for tests, and reads them.
package letters

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"

	"github.com/emersion/go-message"
	"pgregory.net/rapid"
)

// Leaf is what a reader gets of a part without parts.
type Leaf struct{ Kind, Body string }

// Leaves reads a message with go-message, a parser that is not ours.
func Leaves(t rapid.TB, msg string) []Leaf {
	e, err := message.Read(strings.NewReader(msg))
	if err != nil && !message.IsUnknownCharset(err) {
		t.Fatalf("%v of\n%q", err, msg)
	}
	return entity(t, e)
}

func entity(t rapid.TB, e *message.Entity) []Leaf {
	kind, _, _ := e.Header.ContentType()
	parts := e.MultipartReader()
	if parts == nil {
		body, err := io.ReadAll(e.Body)
		if err != nil {
			t.Fatalf("%v in a part of type %q", err, kind)
		}
		if kind == "message/rfc822" {
			return Leaves(t, string(body))
		}
		return []Leaf{{cmp.Or(kind, "text/plain"), string(body)}}
	}
	list := []Leaf{{Kind: kind}}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil && !message.IsUnknownCharset(err) {
			t.Fatal(err)
		}
		list = append(list, entity(t, part)...)
	}
}

// generator makes messages that every parser reads in the same way.
type generator struct {
	t     *rapid.T
	count int
}

// Any makes a message that has no octets beyond ASCII in any of its headers.
func Any(t *rapid.T) string {
	g := generator{t: t}
	return g.message(0)
}

func (g *generator) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(g.t, label)
}

func (g *generator) message(depth int) string {
	head := "From: a@example.org\r\n"
	if rapid.Bool().Draw(g.t, "mime") {
		return head + "MIME-Version: 1.0\r\n" + g.part(depth)
	}
	return head + "\r\n" + g.text()
}

func (g *generator) part(depth int) string {
	kinds := []string{"text", "text", "data"}
	if depth < 4 {
		kinds = append(kinds, "multipart", "multipart", "message")
	}
	label := g.pick("label", "", "Content-Transfer-Encoding: 8bit\r\n", "CONTENT-TRANSFER-ENCODING:\r\n\tbinary\r\n", "Content-transfer-encoding: 7bit\r\n")
	switch rapid.SampledFrom(kinds).Draw(g.t, "kind") {
	case "multipart":
		return label + g.multipart(depth)
	case "message":
		return "Content-Type: message/rfc822\r\n" + label + "\r\n" + g.message(depth+1)
	case "data":
		kind := g.pick("type", "application/octet-stream", "image/png", "message/global")
		return "Content-Type: " + kind + "\r\n" + g.body(label, string(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(g.t, "data")))
	}
	kind := g.pick("type", "", "Content-Type: text/plain\r\n", "Content-Type: text/html; charset=\"utf-8\"\r\n", "Content-Type: text/plain; charset=x-none\r\n")
	return kind + g.body(label, g.text())
}

// body puts the rest of a header before a body.
func (g *generator) body(label, text string) string {
	switch g.pick("encoding", "", "", "", "quoted-printable", "base64", "long base64") {
	case "quoted-printable":
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		// Raw octets beyond ASCII are read as they are.
		raw := strings.ReplaceAll(b.String(), "=C3=BC", g.pick("raw", "=C3=BC", "ü"))
		return "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + raw
	case "base64":
		return "Content-Transfer-Encoding: base64\r\n\r\n" + wrap(base64.StdEncoding.EncodeToString([]byte(text)), 60)
	case "long base64":
		return "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(text))
	}
	return label + "\r\n" + text
}

func wrap(s string, n int) string {
	var b strings.Builder
	for ; len(s) > n; s = s[n:] {
		b.WriteString(s[:n] + "\r\n")
	}
	return b.String() + s
}

func (g *generator) multipart(depth int) string {
	g.count++
	boundary := fmt.Sprintf("=_limit%d", g.count)
	b := "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n" + g.pick("preamble", "", "preamble\r\n")
	for range rapid.IntRange(1, 3).Draw(g.t, "parts") {
		b += "--" + boundary + "\r\n" + g.part(depth+1) + "\r\n"
	}
	return b + "--" + boundary + "--" + g.pick("epilogue", "", "\r\n", "\r\nepilogue\r\n")
}

// text is lines of what is of interest in a text.
func (g *generator) text() string {
	piece := rapid.SampledFrom([]string{
		"word", " ", "\t", ".", "=", "--", "-", "From ", "ü", "日本語", "\xff", "\r\n", "\r\n", "=20", "\r\n.\r\n",
		strings.Repeat("x", 70), strings.Repeat("long ", 150), strings.Repeat("x", 74) + "--=_limit1",
	})
	return strings.Join(rapid.SliceOfN(piece, 0, 40).Draw(g.t, "text"), "")
}
