package mime

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hayauma/hayauma/internal/testkit"
)

func FuzzUnmarshal(f *testing.F) {
	for _, msg := range testkit.Fixtures(f) {
		f.Add(Marshal(ParseBytes(msg, Limits{})))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Unmarshal(b)
		if err != nil {
			return
		}
		checkPart(t, p)
		back, err := Unmarshal(Marshal(p))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestUnmarshalGarbage(t *testing.T) {
	t.Parallel()
	for path, msg := range testkit.Fixtures(t) {
		stored := Marshal(ParseBytes(msg, Limits{}))
		for n := range stored {
			if _, err := Unmarshal(stored[:n]); err == nil {
				t.Fatalf("%s: cut at %d of %d is accepted", path, n, len(stored))
			}
		}
		if _, err := Unmarshal(append(stored, 0)); err == nil {
			t.Errorf("%s: more bytes are accepted", path)
		}
		for i := range stored {
			for _, x := range []byte{1, 0x80, 0xff} {
				stored[i] ^= x
				if p, err := Unmarshal(stored); err == nil {
					checkPart(t, p)
				}
				stored[i] ^= x
			}
		}
	}
}

func TestStoredSize(t *testing.T) {
	t.Parallel()
	if n := len(Marshal(ParseBytes(benchMessage(), Limits{}))); n >= 250 {
		t.Errorf("a plain message takes %d bytes", n)
	}
}

func TestStoredTables(t *testing.T) {
	t.Parallel()
	// Rows in databases depend on the places.
	if mediaTypes[0] != [2]string{"text", "plain"} || mediaTypes[29] != [2]string{"video", "mp4"} ||
		mediaTypes[11] != [2]string{"application", "octet-stream"} || encodings != [...]string{"7bit", "8bit", "quoted-printable", "base64", "binary"} {
		t.Error("a table of the stored form has changed")
	}
	if len(mediaTypes) > 255 {
		t.Error("more media types than a byte can name")
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	stored := Marshal(ParseBytes(benchMessage(), Limits{}))
	b.ReportMetric(float64(len(stored)), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Unmarshal(stored); err != nil {
			b.Fatal(err)
		}
	}
}
