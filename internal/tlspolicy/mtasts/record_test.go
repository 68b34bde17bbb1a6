package mtasts_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/tlspolicy/mtasts"
)

func TestRecordID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		records []string
		want    string // empty = none
	}{
		"as in the RFC":           {[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		"no semicolon at the end": {[]string{"v=STSv1; id=1"}, "1"},
		"tight":                   {[]string{"v=STSv1;id=1"}, "1"},
		"wide":                    {[]string{"v=STSv1\t ;  id=1 \t; "}, "1"},
		"other fields":            {[]string{"v=STSv1; a.b-c_d=x:y~; id=1; z=9"}, "1"},
		"id twice":                {[]string{"v=STSv1; id=1; id=2"}, "1"},
		"the longest id":          {[]string{"v=STSv1; id=" + strings.Repeat("a", 32)}, strings.Repeat("a", 32)},
		"among others":            {[]string{"v=spf1 -all", "v=STSv1; id=1", "hello"}, "1"},
		"another version":         {[]string{"v=STSv1; id=1", "v=STSv11; id=2", "v=STSv2; id=2"}, "1"},
		"none":                    {nil, ""},
		"two":                     {[]string{"v=STSv1; id=1", "v=STSv1; id=1"}, ""},
		"two, one malformed":      {[]string{"v=STSv1; id=1", "v=STSv1; nothing"}, ""},
		"the version not first":   {[]string{"id=1; v=STSv1;"}, ""},
		"a space before it":       {[]string{" v=STSv1; id=1"}, ""},
		"a small v":               {[]string{"v=stsv1; id=1"}, ""},
		"a capital V":             {[]string{"V=STSv1; id=1"}, ""},
		"no id":                   {[]string{"v=STSv1; a=1"}, ""},
		"nothing but the version": {[]string{"v=STSv1;"}, ""},
		"no semicolon":            {[]string{"v=STSv1"}, ""},
		"an empty id":             {[]string{"v=STSv1; id="}, ""},
		"an id too long":          {[]string{"v=STSv1; id=" + strings.Repeat("a", 33)}, ""},
		"an id with a hyphen":     {[]string{"v=STSv1; id=2016-08"}, ""},
		"an empty field":          {[]string{"v=STSv1;; id=1"}, ""},
		"a field without value":   {[]string{"v=STSv1; id=1; a="}, ""},
		"a value with a space":    {[]string{"v=STSv1; id=1; a=b c"}, ""},
		"a bad name":              {[]string{"v=STSv1; id=1; .a=b"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mtasts.RecordID(c.records)
			if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, mtasts.ErrNoRecord) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// FuzzRecordID: what is read can be written and read again.
func FuzzRecordID(f *testing.F) {
	for _, s := range []string{"v=STSv1; id=20160831085700Z;", "v=STSv1;id=1;a=b", "v=STSv1 ; id=1 ; ", "v=STSv1;", "v=STSv1; id=1; id=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := mtasts.RecordID([]string{s})
		if err != nil {
			return
		}
		if len(id) == 0 || len(id) > 32 || !strings.HasPrefix(s, "v=STSv1") || !strings.Contains(s, "id="+id) {
			t.Fatalf("%q gives %q", s, id)
		}
		if again, err := mtasts.RecordID([]string{"x", "v=STSv1; id=" + id}); again != id || err != nil {
			t.Fatalf("%q again: %q, %v", id, again, err)
		}
	})
}
