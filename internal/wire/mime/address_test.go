package mime

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"a@b.c", `"" "" "a" @ "b.c"`},
		{"A <a@b.c>", `"A" "" "a" @ "b.c"`},
		{`"A, \"B\"" <a@b.c>, x@y`, `"A, \"B\"" "" "a" @ "b.c"|"" "" "x" @ "y"`},
		{`"quoted local"@b.c`, `"" "" "quoted local" @ "b.c"`},
		{`"a@b" <"x@y"@z>`, `"a@b" "" "x@y" @ "z"`},
		{"root", `"" "" "root" @ ""`},
		{"John Doe", `"" "" "John Doe" @ ""`},
		{"<>", `"" "" "" @ ""`},
		{"", ""},
		{" , ,,", ""},
		{"a@b.c; d@e.f", `"" "" "a" @ "b.c"|"" "" "d" @ "e.f"`},
		{"A <a@b.c", `"A" "" "a" @ "b.c"`},
		{"A <a@b.c>>, x@y", `"A" "" "a" @ "b.c"|"" "" "x" @ "y"`},
		{"A <a@b.c> (comment)", `"A" "" "a" @ "b.c"`},
		{"<a@b.c> (com (nested) ment)", `"com (nested) ment" "" "a" @ "b.c"`},
		{`unclosed "quote <a@b.c>, x@y`, `"unclosed \"quote" "" "a" @ "b.c"|"" "" "x" @ "y"`},
		{"unclosed (comment <a@b.c>", `"comment <a@b.c>" "" "unclosed" @ ""`},
		{"G: a@b, c@d;, e@f", `group "G"|"" "" "a" @ "b"|"" "" "c" @ "d"|end of group|"" "" "e" @ "f"`},
		{"G: A <a@b>; e@f", `group "G"|"A" "" "a" @ "b"|end of group|"" "" "e" @ "f"`},
		{"G: a@b", `group "G"|"" "" "a" @ "b"|end of group`},
		{"a@[IPv6:2001:db8::1]", `"" "" "a" @ "[IPv6:2001:db8::1]"`},
		{"<@a,@b:c@d>", `"" "@a,@b" "c" @ "d"`},
		{"a @ b . c", `"" "" "a" @ "b.c"`},
		{"=?utf-8?Q?J=C3=BCrgen?= <j@e>", `"=?utf-8?Q?J=C3=BCrgen?=" "" "j" @ "e"`},
		{"a@b@c", `"" "" "a@b" @ "c"`},
		{"A B  C <a@b>", `"A B C" "" "a" @ "b"`},
		{"mailto:a@b", `group "mailto"|"" "" "a" @ "b"|end of group`},
	}
	for _, tt := range tests {
		var got []string
		for _, a := range ParseAddresses(tt.in, 100) {
			got = append(got, dumpAddress(a))
		}
		if s := strings.Join(got, "|"); s != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.in, s, tt.want)
		}
	}
}

// TestHostileTime guards against scans whose time grows with the square of
// the input: each of these would take minutes.
func TestHostileTime(t *testing.T) {
	t.Parallel()
	const n = 200_000
	begin := time.Now()
	for _, piece := range []string{`"`, `"\`, `\"`, `(`, `(\`, `<`, `<"\`, `a@[`, `,"\`, `"\",`, `:`, `;`, `x:;`, `@[,`, "\t", `<@`} {
		ParseAddresses(`"`+strings.Repeat(piece, n), 1000)
		ParseAddresses(strings.Repeat(piece, n), 1000)
	}
	for _, piece := range []string{"=?", "=?a?", "=?utf-8?Q?", "=?utf-8?Q? ", "=?utf-8?B?=?=", "?=", "=?x?Q?a?="} {
		DecodeWords(strings.Repeat(piece, n/4))
	}
	for _, piece := range []string{"=", ";", `="`, "a=b;", `a="\`, "(", "a;", "a*0=b;"} {
		list := parseParams(strings.Repeat(piece, n), 5000)
		DecodeParam(list, "a")
	}
	if took := time.Since(begin); took > 60*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzParseAddresses(f *testing.F) {
	f.Add("G: A <a@b>;, \"x\\\"\" <@r:c@d> (e)", uint8(5))
	f.Add("a@[IPv6:::1], <\"q\"@r", uint8(2))
	f.Fuzz(func(t *testing.T, s string, limit uint8) {
		list := ParseAddresses(s, int(limit))
		if len(list) > int(limit) {
			t.Fatalf("%d addresses, limit %d", len(list), limit)
		}
		group := false
		for _, a := range list {
			if len(a.Name)+len(a.ADL)+len(a.Mailbox)+len(a.Host) > len(s) {
				t.Fatalf("%+v is longer than %q", a, s)
			}
			if (a.Kind == GroupStart) == group && a.Kind != Single {
				t.Fatalf("group marks out of order: %+v", list)
			}
			if a.Kind != Single {
				group = a.Kind == GroupStart
			}
		}
		if group {
			t.Fatalf("group without end: %+v", list)
		}
		if again := ParseAddresses(s, int(limit)+1); len(again) >= len(list) {
			if limit > 0 && len(list) > 0 && !cmp.Equal(list[0], again[0]) {
				t.Fatalf("the limit changes the first address: %+v, %+v", list[0], again[0])
			}
		}
	})
}
