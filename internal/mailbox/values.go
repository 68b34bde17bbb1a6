package mailbox

import (
	"math/bits"
	"strings"

	"github.com/hayauma/hayauma/internal/db"
)

// valuesRows is how many rows one VALUES list has at most.
const valuesRows = 128

// queryValues runs a statement with "(VALUES @rows)" for each part of rows of
// integers. Parts are filled up to a round number with rows of zeros, which
// must match nothing, so that few texts are prepared. The columns are called
// column1, column2 ... in both dialects.
func queryValues(tx *db.Tx, sql string, rows [][]int64, scan func(db.Rows) error) error {
	for len(rows) > 0 {
		part := rows[:min(len(rows), valuesRows)]
		rows = rows[len(part):]
		width := len(part[0])
		n := roundUp(len(part))
		args := make([]any, 0, n*width)
		for _, row := range part {
			for _, v := range row {
				args = append(args, v)
			}
		}
		for len(args) < n*width {
			args = append(args, int64(0))
		}
		result, err := tx.Query(db.SQL(strings.Replace(sql, "@rows", placeholders(n, width), 1)), args...)
		if err != nil {
			return err
		}
		if err := db.Each(result, scan); err != nil {
			return err
		}
	}
	return nil
}

// roundUp is n as a power of two up to 8, then as a multiple of 8.
func roundUp(n int) int {
	if n > 8 {
		return (n + 7) / 8 * 8
	}
	return 1 << bits.Len(uint(n-1))
}

// placeholders writes n rows; the first carries the types.
func placeholders(n, width int) string {
	first := "(" + strings.TrimSuffix(strings.Repeat("CAST(? AS BIGINT), ", width), ", ") + ")"
	row := ", (" + strings.TrimSuffix(strings.Repeat("?, ", width), ", ") + ")"
	return first + strings.Repeat(row, n-1)
}
