package postgres

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// texts translates statements from the words of package db and remembers them:
// there are few, since lists and inserts are of round lengths.
type texts struct{ known sync.Map }

func (t *texts) of(sql string) string {
	if known, ok := t.known.Load(sql); ok {
		return known.(string)
	}
	translated := numbered(sql)
	t.known.Store(sql, translated)
	return translated
}

// numbered replaces each "?" outside of quotes by "$1", "$2" ...
func numbered(sql string) string {
	var b strings.Builder
	b.Grow(len(sql) + 16)
	n := 0
	var quote byte
	for i := 0; i < len(sql); i++ {
		switch c := sql[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?':
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteByte(sql[i])
	}
	return b.String()
}

// withArrays lets a list be one argument: "IN (@ids)" becomes "= ANY (@ids)".
func withArrays(sql string) string {
	return strings.Replace(sql, "IN (@ids)", "= ANY (@ids)", 1)
}

// declaration translates a step of a schema. Texts are compared octet by octet,
// as the embedded engine does it.
func declaration(sql string) string {
	for _, w := range [...]struct{ word, is string }{
		{`\bINTEGER\b`, "BIGINT"}, {`\bBLOB\b`, "BYTEA"}, {`\bTEXT\b`, `TEXT COLLATE "C"`}, {`\)\s*WITHOUT ROWID`, ")"},
	} {
		sql = regexp.MustCompile(w.word).ReplaceAllLiteralString(sql, w.is)
	}
	return sql
}
