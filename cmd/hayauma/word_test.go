package main

import (
	"strings"
	"testing"
)

// An option that chooses by nothing, a script's variable that is not set, is refused
// before anything is asked: it chose everything once.
func TestEmptyOptionChoosesNothing(t *testing.T) {
	t.Parallel()
	const what, sender = "write what is meant, or leave the option out", "write '<>' for the null sender, or leave the option out"
	for _, row := range []struct{ args, want string }{
		{"queue delete --domain= --state deferred", what},
		{"queue delete --domain a.test --sender=", sender},
		{"queue bounce --state held --older=", what},
		{"queue bounce --state held --account=", what},
		{"queue hold --state= --domain a.test", what},
		{"queue retry --route= --domain a.test", what},
		{"queue release --host= --domain a.test", what},
		{"queue list --provider=", what},
		{"queue list --reply=", what},
		{"queue list --class=", what},
		{"queue export --tag= --domain a.test --to x", what},
		{"queue export --stream= --domain a.test --to x", what},
		{"queue reroute --tenant= --domain a.test --to mx", what},
		{"login list --account=", what},
		{"outbound events --provider=", what},
		{"outbound explain a@b.test --from=", sender},
		{"outbound explain a@b.test --tag=", what},
		{"outbound reply add permanent --code 450 --text=", what},
		{"outbound reply add permanent --code 450 --provider=", what},
		{"outbound reply list --provider=", what},
		{"route rule set --sender= --everyone --to mx", what},
	} {
		t.Run(row.args, func(t *testing.T) {
			t.Parallel()
			got := commandLine(t, "", strings.Fields(row.args)...)
			if got.code != exitUsage || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, row.want) {
				t.Errorf("exit %d, stdout %q, stderr %q, want %q", got.code, got.stdout, got.stderr, row.want)
			}
		})
	}
}
