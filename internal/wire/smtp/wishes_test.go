package smtp_test

import (
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestParsePriority(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]mail.Priority{"0": 0, "9": 9, "-9": -9, "3": 3, "-1": -1} {
		if got, err := smtp.ParsePriority(in); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-", "-0", "+1", "10", "-10", "00", "x", "1.5", "--1", " 1"} {
		if got, err := smtp.ParsePriority(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}

func TestParseBy(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for in, want := range map[string]smtp.By{
		"120;R": {In: 120 * s, Return: true}, "+120;n": {In: 120 * s}, "-5;N": {In: -5 * s}, "0;NT": {Trace: true},
		"1;rT": {In: s, Return: true, Trace: true}, "999999999;R": {In: 999999999 * s, Return: true}, "-999999999;N": {In: -999999999 * s},
		"007;N": {In: 7 * s},
	} {
		if got, err := smtp.ParseBy(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ";", "120", "120;", ";R", "120;X", "120;TR", "120;RTT", "0;R", "-1;R", "1234567890;N", "--1;N", "+-1;N", "1.5;N", "1 ;N", "+;N", "1;R;T"} {
		if got, err := smtp.ParseBy(in); err == nil {
			t.Errorf("%q: %+v", in, got)
		}
	}
}

func TestByIsWrittenAsItIsRead(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		by   smtp.By
		want string
	}{
		{smtp.By{In: 98*time.Second + 999*time.Millisecond, Return: true}, "98;R"},
		{smtp.By{In: time.Millisecond}, "0;N"},
		{smtp.By{In: -time.Millisecond, Trace: true}, "-1;NT"},
		{smtp.By{In: -2 * time.Second}, "-2;N"},
		{smtp.By{In: 1 << 62, Return: true, Trace: true}, "999999999;RT"},
	} {
		if got := test.by.String(); got != test.want {
			t.Errorf("%+v: %s", test.by, got)
		}
		if _, err := smtp.ParseBy(test.want); err != nil {
			t.Error(test.want, err)
		}
	}
}

func FuzzParseBy(f *testing.F) {
	for _, s := range []string{"120;R", "-5;NT", "+0;n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		by, err := smtp.ParseBy(s)
		if err != nil {
			return
		}
		if again, err := smtp.ParseBy(by.String()); err != nil || again != by {
			t.Errorf("%q: %+v, then %+v, %v", s, by, again, err)
		}
	})
}
