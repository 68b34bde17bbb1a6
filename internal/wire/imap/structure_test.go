package imap_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/wire/imap"
	"github.com/hayauma/hayauma/internal/wire/mime"
)

func fullEnvelope() *mime.Envelope {
	return &mime.Envelope{
		Date:    "Sat, 7 Feb 2026 21:52:25 -0800",
		Subject: `the "one"`,
		From:    []mime.Address{{Name: "Ann", ADL: "@a,@b", Mailbox: "ann", Host: "example.test"}},
		Sender:  []mime.Address{{Mailbox: "s", Host: "example.test"}},
		ReplyTo: []mime.Address{{Mailbox: "r", Host: "example.test"}, {Name: "日本", Mailbox: "q", Host: "example.test"}},
		To: []mime.Address{
			{Kind: mime.GroupStart, Mailbox: "all of us"},
			{Mailbox: "t", Host: "example.test"},
			{Kind: mime.GroupEnd},
		},
		Cc:        []mime.Address{{Mailbox: "nohost"}},
		Bcc:       []mime.Address{{Name: "odd"}},
		InReplyTo: "<a@b>",
		MessageID: "<c@d>",
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	want := `("Sat, 7 Feb 2026 21:52:25 -0800" "the \"one\"" ` +
		`(("Ann" "@a,@b" "ann" "example.test")) ` +
		`((NIL NIL "s" "example.test")) ` +
		"((NIL NIL \"r\" \"example.test\")({6}\r\n日本 NIL \"q\" \"example.test\")) " +
		`((NIL NIL "all of us" NIL)(NIL NIL "t" "example.test")(NIL NIL NIL NIL)) ` +
		`((NIL NIL "nohost" "")) ` +
		`(("odd" NIL "" "")) ` +
		`"<a@b>" "<c@d>")`
	if diff := cmp.Diff(want, string(imap.AppendEnvelope(nil, fullEnvelope()))); diff != "" {
		t.Error(diff)
	}
	const empty = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
	for _, env := range []*mime.Envelope{nil, {}} {
		if got := string(imap.AppendEnvelope(nil, env)); got != empty {
			t.Error(got)
		}
	}
}

func text(subtype string) mime.Part {
	return mime.Part{Type: "text", Subtype: subtype, Encoding: "7bit", BodySize: 10, BodyLines: 2}
}

func TestBodyStructure(t *testing.T) {
	t.Parallel()
	full := mime.Part{
		Type: "image", Subtype: "png", Params: []mime.Param{{Name: "name", Value: "a b"}, {Name: "x", Value: ""}},
		ID: "<i@d>", Description: "a picture", Encoding: "base64", BodySize: 1234, BodyLines: 9, MD5: "Q2hlY2s=",
		Disposition: "attachment", DispositionParams: []mime.Param{{Name: "filename", Value: "p.png"}},
		Language: []string{"en", "ja"}, Location: "http://example.test/p.png",
	}
	inner := text("plain")
	inner.Envelope = &mime.Envelope{Subject: "inner"}
	embedded := mime.Part{
		Type: "message", Subtype: "rfc822", Encoding: "7bit", BodySize: 300, BodyLines: 12, Children: []mime.Part{inner},
	}
	mixed := mime.Part{
		Type: "multipart", Subtype: "mixed", Encoding: "7bit", Params: []mime.Param{{Name: "boundary", Value: "b"}},
		Disposition: "inline", Language: []string{"de"}, Location: "x",
		Children: []mime.Part{text("plain"), {
			Type: "multipart", Subtype: "alternative", Children: []mime.Part{text("html")},
		}, full, embedded},
	}
	const plain = `("text" "plain" NIL NIL NIL "7bit" 10 2`
	const html = `("text" "html" NIL NIL NIL "7bit" 10 2`
	const picture = `("image" "png" ("name" "a b" "x" "") "<i@d>" "a picture" "base64" 1234`
	const pictureMore = ` "Q2hlY2s=" ("attachment" ("filename" "p.png")) ("en" "ja") "http://example.test/p.png"`
	const forwarded = `("message" "rfc822" NIL NIL NIL "7bit" 300 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) `
	const nils = " NIL NIL NIL NIL"
	tests := []struct {
		name           string
		part           mime.Part
		body, extended string
	}{
		{"text", text("plain"), plain + ")", plain + nils + ")"},
		{"every field", full, picture + ")", picture + pictureMore + ")"},
		{"embedded message", embedded, forwarded + plain + ") 12)", forwarded + plain + nils + ") 12" + nils + ")"},
		{
			"multipart", mixed,
			"(" + plain + ")(" + html + `) "alternative")` + picture + ")" + forwarded + plain + `) 12) "mixed")`,
			"(" + plain + nils + ")(" + html + nils + `) "alternative"` + nils + ")" +
				picture + pictureMore + ")" + forwarded + plain + nils + ") 12" + nils + `) "mixed" ` +
				`("boundary" "b") ("inline" NIL) ("de") "x")`,
		},
		{
			"multipart that was not taken apart", mime.Part{Type: "multipart", Subtype: "mixed", Encoding: "7bit", BodySize: 5},
			`("application" "octet-stream" NIL NIL NIL "7bit" 5)`,
			`("application" "octet-stream" NIL NIL NIL "7bit" 5` + nils + ")",
		},
		{
			"message that was not taken apart", mime.Part{Type: "message", Subtype: "rfc822", Encoding: "7bit", BodySize: 5},
			`("application" "octet-stream" NIL NIL NIL "7bit" 5)`,
			`("application" "octet-stream" NIL NIL NIL "7bit" 5` + nils + ")",
		},
		{
			"other message", mime.Part{Type: "message", Subtype: "delivery-status", Encoding: "7bit", BodySize: 5},
			`("message" "delivery-status" NIL NIL NIL "7bit" 5)`,
			`("message" "delivery-status" NIL NIL NIL "7bit" 5` + nils + ")",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.body, string(imap.AppendBody(nil, &tt.part))); diff != "" {
				t.Error("BODY", diff)
			}
			if diff := cmp.Diff(tt.extended, string(imap.AppendBodyStructure(nil, &tt.part))); diff != "" {
				t.Error("BODYSTRUCTURE", diff)
			}
		})
	}
}

func TestFetchWritesEnvelopeAndStructure(t *testing.T) {
	t.Parallel()
	part := text("plain")
	got := encode(t, func(e *imap.Encoder) {
		e.BeginFetch(1)
		e.FetchEnvelope(nil)
		e.FetchBody(&part)
		e.FetchBodyStructure(&part)
		e.EndFetch()
	})
	want := "* 1 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) " +
		`BODY ("text" "plain" NIL NIL NIL "7bit" 10 2) ` +
		`BODYSTRUCTURE ("text" "plain" NIL NIL NIL "7bit" 10 2 NIL NIL NIL NIL))` + "\r\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
