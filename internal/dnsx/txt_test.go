package dnsx_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestTXT(t *testing.T) {
	t.Parallel()
	dns := testkit.StartDNS(t, `x.test. 60 TXT "v=one;" " id=2"`, `y.test. 60 TXT "a \"b\" c\\d\195\164e"`, "z.test. 60 A 10.0.0.1")
	r := dnsx.New(dnsx.Options{Server: dns.Addr})
	for name, want := range map[string][]string{"x.test": {"v=one; id=2"}, "y.test": {`a "b" c\däe`}} {
		if got, err := r.TXT(t.Context(), name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]error{"z.test": dnsx.ErrNoData, "nothing.test": dnsx.ErrNotFound} {
		if got, err := r.TXT(t.Context(), name); !errors.Is(err, want) {
			t.Errorf("%s: %q, %v, want %v", name, got, err, want)
		}
	}
}
