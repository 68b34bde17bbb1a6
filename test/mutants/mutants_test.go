package main

import (
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// least is how many faults the proofs must be tried with.
const least = 10

// Patches that no longer fit the tree are found before anybody runs the mutants.
func TestPatchesApply(t *testing.T) {
	t.Parallel()
	testkit.Require(t, "git")
	const root = "../.."
	all, err := mutants(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < least {
		t.Errorf("%d mutants, want %d", len(all), least)
	}
	for _, m := range all {
		if text, err := command(t.Context(), root, "git", "apply", "--check", m.patch); err != nil {
			t.Errorf("%s: %v\n%s", m.name, err, text)
		}
	}
}
