package db

// Stmt is one statement. Both dialects share SQL where they can: "?" stands
// for each argument; "(@ids)" for the list given to ExecIn and QueryIn. Tables
// are declared in SQLite's words (INTEGER, BLOB, TEXT, WITHOUT ROWID); the
// PostgreSQL engine translates those words.
type Stmt struct {
	SQL      string // for every engine that has no variant below
	Postgres string // variant for PostgreSQL, empty = SQL
}

// Common is the text for every engine without a variant.
func (s Stmt) Common() string { return s.SQL }

// ForPostgres is the text for PostgreSQL, in the words of package db.
func (s Stmt) ForPostgres() string {
	if s.Postgres != "" {
		return s.Postgres
	}
	return s.SQL
}

// StepsAfter is for engines: it lists the steps behind the last that they have
// of each schema, each in the text that pick gives.
func StepsAfter(schemas []Schema, have []int, pick func(Stmt) string) []Step {
	var out []Step
	for i, s := range schemas {
		for n := have[i] + 1; n <= len(s.Steps); n++ {
			out = append(out, Step{Package: s.Package, Number: n, SQL: pick(s.Steps[n-1])})
		}
	}
	return out
}

// SQL returns a statement that every engine understands.
func SQL(s string) Stmt { return Stmt{SQL: s} }

// Insert is a set-based insert: one statement for many rows.
type Insert struct {
	Into     string   // table
	Columns  []string // in the order of each row's values
	Conflict string   // "" or "ON CONFLICT ..." , common to both dialects
}
