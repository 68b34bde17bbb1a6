package archtest

import "regexp"

// tableFile are the names of files that hold tables, the allowed globals.
var tableFile = regexp.MustCompile(`^(codes|commands|tables?|[a-z0-9]+_table)\.go$`)

// The words are put together here so that this file does not hold them.
var (
	unfinished = regexp.MustCompile(`\b(` + "TO" + `DO|` + "FIX" + `ME)\b`)
	machine    = regexp.MustCompile("(^|[\\s\"'`=(:,])/" + `(work|root)/`)
)
