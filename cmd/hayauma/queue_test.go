package main

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
)

// What is under way may be delivered yet, and who has no sender tells nobody.
func TestWhatIsTouchedIsTold(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		touched control.Touched
		want    string
	}{
		{control.Touched{}, "0 recipients given up"},
		{control.Touched{Recipients: 1}, "1 recipient given up; the sender is told"},
		{control.Touched{UnderWay: 1}, "1 recipient under way: given up unless this attempt delivers; the sender is told"},
		{control.Touched{Recipients: 2, UnderWay: 3, Untold: 5},
			"2 recipients given up\n3 recipients under way: given up unless this attempt delivers; nobody is told, since there is no sender, or none who wants to hear"},
		{control.Touched{Recipients: 2, Untold: 1}, "2 recipients given up; the sender is told, but of 1 recipient there is none, or none who wants to hear"},
	} {
		if got := strings.Join(touchedText(row.touched, "given up"), "\n") + tellsText(row.touched); got != row.want {
			t.Errorf("%+v:\n got %s\nwant %s", row.touched, got, row.want)
		}
	}
}
