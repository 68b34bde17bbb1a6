package intake

import (
	"log/slog"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
)

// TestPruneFingerprints: the old ones go, wherever they stand among the others.
func TestPruneFingerprints(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t, Schema())
	in := New(Options{DB: d, Logger: slog.New(slog.DiscardHandler)})
	now := time.Now()
	rows := make([][]any, 3*pruneChunk)
	for i := range rows {
		at := now.Add(-keepFingerprint + time.Hour)
		if i%3 > 0 {
			at = now.Add(-keepFingerprint - time.Hour)
		}
		rows[i] = []any{int64(i-pruneChunk) << 40, 1, mail.Micros(at)}
	}
	if err := d.Write(t.Context(), func(tx *db.Tx) error { return tx.Insert(insertNew, rows...) }); err != nil {
		t.Fatal(err)
	}
	in.pruneFingerprints(t.Context())
	var left, old int
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		return tx.Row(db.SQL("SELECT COUNT(*), COUNT(*) FILTER (WHERE at < ?) FROM fingerprint"), []any{mail.Micros(now.Add(-keepFingerprint))}, &left, &old)
	})
	if err != nil || left != pruneChunk || old != 0 {
		t.Errorf("%d left, %d of them old, %v", left, old, err)
	}
}
