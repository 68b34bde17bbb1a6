package mime

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sampleHeader = "Subject: one\r\n two\r\nX-A : a\r\nno field\r\n\tat all\r\nsubject: second\r\nTo:\n x\n\r\nbody: x\r\n"

func TestHeaderFields(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		raw   string
		names []string
		not   bool
		want  string
	}{
		{"some", sampleHeader, []string{"SUBJECT", "nothing"}, false, "Subject: one\r\n two\r\nsubject: second\r\n\r\n"},
		{"not", sampleHeader, []string{"subject", "x-a"}, true, "no field\r\n\tat all\r\nTo:\n x\n\r\n"},
		{"none", sampleHeader, nil, false, "\r\n"},
		{"all", sampleHeader, nil, true, sampleHeader[:len(sampleHeader)-len("body: x\r\n")]},
		{"no blank line", "A: b\r\nC: d\r\n", []string{"c"}, false, "C: d\r\n"},
		{"no line end", "A: b\r\nC: d", []string{"c"}, false, "C: d"},
		{"bare LF", "A: b\nC: d\n\n", []string{"a"}, false, "A: b\n\n"},
		{"empty", "", []string{"a"}, false, ""},
	}
	for _, tt := range tests {
		if got := string(Fields([]byte(tt.raw), tt.names, tt.not)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestHeaderWalk(t *testing.T) {
	t.Parallel()
	var got []string
	end := 0
	for f := range Header(sampleHeader).All() {
		if f.Offset != end {
			t.Errorf("%q is at %d, want %d", f.Raw, f.Offset, end)
		}
		end += len(f.Raw)
		got = append(got, string(f.Name)+"="+f.Text())
	}
	want := []string{"Subject=one two", "X-A=a", "=no field\tat all", "subject=second", "To=x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if text, ok := Header(sampleHeader).Get("x-a"); !ok || text != "a" {
		t.Errorf("Get: %q %v", text, ok)
	}
	if _, ok := Header(sampleHeader).Get("body"); ok {
		t.Error("Get read behind the blank line")
	}
}
