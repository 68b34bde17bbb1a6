package blob

import (
	"errors"
	"fmt"
	"strings"
)

// Reference is a column of a domain table that refers to bodies.
type Reference struct {
	Table, Column string
}

// Unreferenced is for stores: it returns the SQL condition that no row refers
// to a row of the table body. Without references every body would be free, so
// that is an error.
func Unreferenced(refs []Reference) (string, error) {
	if len(refs) == 0 {
		return "", errors.New("a sweep needs the columns that refer to bodies")
	}
	parts := make([]string, len(refs))
	for i, r := range refs {
		if err := r.Check(); err != nil {
			return "", err
		}
		parts[i] = fmt.Sprintf("NOT EXISTS (SELECT 1 FROM %s WHERE %s.%s = body.id)", r.Table, r.Table, r.Column)
	}
	return strings.Join(parts, " AND "), nil
}

// Check returns an error for a reference that cannot stand in a statement as it is.
func (r Reference) Check() error {
	if !isIdentifier(r.Table) || !isIdentifier(r.Column) {
		return fmt.Errorf("reference %q.%q is no table and column", r.Table, r.Column)
	}
	return nil
}

func isIdentifier(s string) bool {
	bad := func(c rune) bool { return c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') }
	return s != "" && s[0] >= 'a' && s[0] <= 'z' && !strings.ContainsFunc(s, bad)
}
