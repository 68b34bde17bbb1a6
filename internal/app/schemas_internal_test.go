package app

import (
	"slices"
	"testing"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/test/stack"
)

// TestSchemasOfTheTests: what tests run on, and what is moved in those of a move, are
// all tables that a server has.
func TestSchemasOfTheTests(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{}
	names := func(list []db.Schema) (out []string) {
		for _, s := range list {
			out = append(out, s.Package)
		}
		return out
	}
	if got, want := names(stack.Schemas(bodySchema(cfg))), names(schemas(cfg)); !slices.Equal(got, want) {
		t.Errorf("the tests have %v, the server has %v", got, want)
	}
}
