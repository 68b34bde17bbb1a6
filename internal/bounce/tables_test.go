package bounce

import (
	"reflect"
	"strings"
	"testing"
)

// TestPhrases: each language says everything, about the same things.
func TestPhrases(t *testing.T) {
	t.Parallel()
	var compare func(name string, en, ja reflect.Value)
	compare = func(name string, en, ja reflect.Value) {
		if en.Kind() == reflect.Struct {
			for i := range en.NumField() {
				compare(name+"."+en.Type().Field(i).Name, en.Field(i), ja.Field(i))
			}
			return
		}
		e, j := en.String(), ja.String()
		if e == "" || j == "" || e == j || strings.Count(e, "%s") != strings.Count(j, "%s") || strings.HasSuffix(e, "\n") != strings.HasSuffix(j, "\n") {
			t.Errorf("%s: %q and %q", name, e, j)
		}
	}
	compare("phrases", reflect.ValueOf(phrasesIn("en")), reflect.ValueOf(phrasesIn("ja")))
}
