package db

// Stmt is one statement. Both dialects share SQL where they can: "?" stands
// for each argument; "(@ids)" for the list given to ExecIn and QueryIn. Tables
// are declared in SQLite's words (INTEGER, BLOB, TEXT, WITHOUT ROWID); the
// PostgreSQL engine translates those words.
type Stmt struct {
	SQL      string // for every engine that has no variant below
	Postgres string // variant for PostgreSQL, empty = SQL
}

// SQL returns a statement that every engine understands.
func SQL(s string) Stmt { return Stmt{SQL: s} }

// Insert is a set-based insert: one statement for many rows.
type Insert struct {
	Into     string   // table
	Columns  []string // in the order of each row's values
	Conflict string   // "" or "ON CONFLICT ..." , common to both dialects
}
