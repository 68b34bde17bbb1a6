package archtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// module is the import path that all of our packages begin with.
const module = "github.com/hayauma/hayauma/"

// row places packages. A name ending in "/*" stands for all packages below.
type row struct {
	layer int
	// order within the layer: a package may import rows of its own layer with
	// a lower order. Two packages in one row, or in rows of the same order,
	// import each other only by an edge in `peers`.
	order int
	names []string
}

// layerTable is the folder plan of the design, bottom up. A package that is not
// in it fails the test: add it here, where a reviewer sees it.
func layerTable() []row {
	return []row{
		// 0 words and tools
		{0, 0, []string{"mail", "stackroom"}},
		{0, 1, []string{"dnsx", "certs", "ratelimit", "lockfile", "datasync", "socket", "timerslack"}},
		// 1 pure protocol
		{1, 0, []string{"wire/*"}},
		{1, 1, []string{"mailauth", "mailauth/*", "tlspolicy", "tlspolicy/*", "config", "sieve", "sieve/*", "classify"}},
		// 2 storage: the contracts, then the engines
		{2, 0, []string{"db"}},
		{2, 1, []string{"blob"}},
		{2, 2, []string{"blob/staging"}},
		{2, 3, []string{"db/sqlite", "db/postgres", "blob/pack", "blob/s3", "blob/pg"}},
		// 3 domain: the mail's way, in order
		{3, 0, []string{"account/ban", "account/bearer"}},
		{3, 1, []string{"account"}},
		{3, 2, []string{"mailbox"}},
		{3, 3, []string{"queue", "queue/retry"}},
		{3, 4, []string{"relay/event", "policy/rule", "policy/rate", "policy/callahead", "returnpath", "route", "source"}},
		{3, 5, []string{"policy"}},
		{3, 6, []string{"intake"}},
		{3, 7, []string{"bounce", "feedback", "outbound/sts"}},
		{3, 8, []string{"outbound"}},
		// ... and beside it: these may use the way, the way does not know them
		{3, 9, []string{"relay/*", "explain", "report/*", "doctor", "cluster", "listen", "move", "shaping"}},
		// 4 doors
		{4, 0, []string{"smtpd", "access/*", "relay/api", "web", "control", "dnsd"}},
		// 5 root
		{5, 0, []string{"app"}},
		{5, 1, []string{"test/load", "demo"}},
		{5, 2, []string{"cmd/*", "test/load/cmd/*"}},
		// tests' own packages: nothing above imports them
		{6, 0, []string{"testkit", "archtest", "db/dbtest", "blob/blobtest", "test/*"}},
	}
}

// peers are the imports allowed between packages of the same row.
func peers() map[string][]string {
	return map[string][]string{
		"wire/imap":          {"wire/mime"},             // BODYSTRUCTURE and ENVELOPE print a parsed structure
		"wire/jmap":          {"wire/mime"},             // Email/get does the same
		"wire/dsn":           {"wire/mime"},             // a report is a multipart message
		"wire/arf":           {"wire/dsn", "wire/mime"}, // a complaint is built like one
		"wire/mime/sevenbit": {"wire/mime"},             // rewrites parts that the parser found
	}
}

// engines are imported by app alone, and by tests' packages.
func engines() []string {
	return []string{"db/sqlite", "db/postgres", "blob/pack", "blob/s3", "blob/pg"}
}

const doorLayer, testLayer = 4, 6

// owned names outside packages that only some of ours may import, directly.
func owned() map[string][]string {
	return map[string][]string{
		"database/sql":                 {"db", "db/sqlite", "db/postgres"},
		"modernc.org/sqlite":           {"db/sqlite"},
		"github.com/jackc/pgx":         {"db/postgres", "blob/pg"},
		"github.com/minio/minio-go":    {"blob/s3"},
		"github.com/spf13/cobra":       {"cmd/*"},
		"github.com/pelletier/go-toml": {"config"},
		"testing":                      {"testkit", "archtest", "db/dbtest", "blob/blobtest", "test/*"},
		"pgregory.net/rapid":           {"testkit", "db/dbtest", "blob/blobtest", "test/*"},
		"go.uber.org/goleak":           {"testkit", "db/dbtest", "blob/blobtest", "test/*"},
		"github.com/google/go-cmp":     {"testkit", "db/dbtest", "blob/blobtest", "test/*"},
	}
}

// noIO are the packages that neither open files nor connections: the words, the
// grammars, and what only judges.
func noIO() (packages, forbidden []string) {
	return []string{"mail", "wire/*", "classify"}, []string{"os", "os/exec", "net", "net/http", "database/sql"}
}

// pkg is a package of ours, by its short name ("wire/smtp", "cmd/hayauma"), and
// what its non-test files import: short names, or whole paths of other modules.
type pkg struct {
	name    string
	imports []string
}

// shortName cuts the module and "internal/" off an import path of ours.
func shortName(path string) (string, bool) {
	rest, ours := strings.CutPrefix(path, module)
	return strings.TrimPrefix(rest, "internal/"), ours
}

// covers says whether a name of a table stands for a package.
func covers(name, pkg string) bool {
	prefix, all := strings.CutSuffix(name, "/*")
	if all {
		return strings.HasPrefix(pkg, prefix+"/")
	}
	return name == pkg
}

func covered(names []string, pkg string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return covers(name, pkg) })
}

// place finds the row of a package; the longest name that covers it counts, so
// that "relay/event" wins over "relay/*".
func place(table []row, pkg string) (row, bool) {
	best, length := row{}, 0
	for _, r := range table {
		for _, name := range r.names {
			if covers(name, pkg) && len(name) > length {
				best, length = r, len(name)
			}
		}
	}
	return best, length > 0
}

// checkLayers returns a sentence for each import that the table forbids.
func checkLayers(packages []pkg) []string {
	table := layerTable()
	var wrong []string
	for _, p := range packages {
		from, known := place(table, p.name)
		if !known {
			wrong = append(wrong, fmt.Sprintf("%s is not in the layer table: add it to layerTable in internal/archtest/layers.go", p.name))
			continue
		}
		for _, imported := range p.imports {
			if fault := judgeImport(table, p.name, from, imported); fault != "" {
				wrong = append(wrong, fault)
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// judgeImport is "" for an import that is fine.
func judgeImport(table []row, name string, from row, imported string) string {
	if fault := judgeOutside(name, imported); fault != "" {
		return fault
	}
	to, ours := place(table, imported)
	switch {
	case !ours:
		return "" // of another module, or unknown and told of by itself
	case from.layer == testLayer:
		return ""
	case to.layer == testLayer:
		return fmt.Sprintf("%s imports %s, which is for tests", name, imported)
	case slices.Contains(engines(), imported):
		if name == "app" {
			return ""
		}
		return fmt.Sprintf("%s imports the engine %s: only app does", name, imported)
	case from.layer == doorLayer && to.layer == doorLayer:
		return fmt.Sprintf("door %s imports door %s", name, imported)
	case slices.Contains(peers()[name], imported):
		return ""
	}
	switch cmp.Or(cmp.Compare(to.layer, from.layer), cmp.Compare(to.order, from.order)) {
	case 1:
		return fmt.Sprintf("%s imports upward %s", name, imported)
	case 0:
		return fmt.Sprintf("%s imports its peer %s: an edge between peers goes into the table in internal/archtest/layers.go", name, imported)
	}
	return ""
}

// judgeOutside looks at imports of the standard library and other modules.
func judgeOutside(name, imported string) string {
	for prefix, owners := range owned() {
		if (imported == prefix || strings.HasPrefix(imported, prefix+"/")) && !covered(owners, name) {
			return fmt.Sprintf("%s imports %s, which is for %s", name, imported, strings.Join(owners, ", "))
		}
	}
	quiet, forbidden := noIO()
	if covered(quiet, name) && slices.Contains(forbidden, imported) {
		return fmt.Sprintf("%s imports %s, but it does no I/O", name, imported)
	}
	return ""
}
