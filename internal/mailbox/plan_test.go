package mailbox_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// The statements of the hot paths must find their rows by an index.
func TestPlans(t *testing.T) {
	t.Parallel()
	engine := dbtest.NewEmbedded(t, mailbox.Schema())
	for sql, want := range map[string][]string{
		`UPDATE mailbox SET modseq = v.column3 FROM (VALUES (CAST(? AS BIGINT), ?, ?), (?, ?, ?)) AS v
			WHERE mailbox.id = v.column1 AND account = v.column2 AND noselect = 0 AND name IS NOT NULL RETURNING id`: {
			"SEARCH mailbox USING INTEGER PRIMARY KEY",
		},
		`SELECT v.column3, COALESCE((SELECT m.thread FROM mailbox_message m
			WHERE m.account = v.column1 AND m.reply_key = v.column2 LIMIT 1), 0)
			FROM (VALUES (?, ?, ?), (?, ?, ?)) AS v`: {
			"SEARCH m USING INDEX mailbox_message_reply (account=? AND reply_key=?)",
		},
		`SELECT m.uid FROM mailbox_message m WHERE m.modseq > m.created AND m.mailbox = ? AND m.modseq > ?
			AND m.modseq <= ? AND m.uid <= ? ORDER BY m.modseq, m.uid`: {
			"SEARCH m USING INDEX mailbox_message_changed (mailbox=? AND modseq>? AND modseq<?)",
		},
		`SELECT m.uid FROM mailbox_message m JOIN mailbox_content c ON c.body = m.body
			WHERE m.mailbox = 1 AND m.uid IN (1, 2) ORDER BY m.uid`: {
			"SEARCH m USING PRIMARY KEY (mailbox=? AND uid=?)", "SEARCH c USING INTEGER PRIMARY KEY",
		},
		`DELETE FROM mailbox_content WHERE body IN (1, 2)
			AND NOT EXISTS (SELECT 1 FROM mailbox_message m WHERE m.body = mailbox_content.body)`: {
			"SEARCH m USING COVERING INDEX mailbox_message_body (body=?)",
		},
		`SELECT id, account FROM mailbox WHERE name IS NULL LIMIT 1`: {"mailbox_dead"},
	} {
		var plan strings.Builder
		err := engine.Read(t.Context(), func(tx *db.Tx) error {
			rows, err := tx.Query(db.SQL(`EXPLAIN QUERY PLAN ` + strings.ReplaceAll(sql, "?", "1")))
			if err != nil {
				return err
			}
			return db.Each(rows, func(r db.Rows) error {
				var a, b, c int64
				var detail string
				err := r.Scan(&a, &b, &c, &detail)
				plan.WriteString(detail + "\n")
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range want {
			if !strings.Contains(plan.String(), s) {
				t.Errorf("no %q for\n%s\n%s", s, sql, plan.String())
			}
		}
	}
}
