package sqlite_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/sqlite"
)

const benchTables = `
CREATE TABLE message (id INTEGER PRIMARY KEY, body INTEGER NOT NULL, sender TEXT NOT NULL, size INTEGER NOT NULL, envelope BLOB NOT NULL);
CREATE TABLE place (mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, message INTEGER NOT NULL REFERENCES message (id), modseq INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE event (id INTEGER PRIMARY KEY, message INTEGER NOT NULL, at INTEGER NOT NULL, stage TEXT NOT NULL, detail TEXT NOT NULL)`

// BenchmarkWrite has many writers insert three small rows per Write, and prints
// the commits and the processor time per Write.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 50, 200} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchWrite(b, writers) })
	}
}

func benchWrite(b *testing.B, writers int) {
	var commits, functions atomic.Int64
	d, err := sqlite.Open(b.Context(), sqlite.Options{
		Path: filepath.Join(b.TempDir(), "bench.db"),
		Observe: func(_ time.Duration, n int) {
			commits.Add(1)
			functions.Add(int64(n))
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Migrate(b.Context(), db.Schema{Package: "bench", Steps: []db.Stmt{db.SQL(benchTables)}}); err != nil {
		b.Fatal(err)
	}
	commits.Store(0)
	functions.Store(0)
	var next atomic.Int64
	envelope := make([]byte, 300)
	insertMessage := db.SQL("INSERT INTO message (id, body, sender, size, envelope) VALUES (?, ?, ?, ?, ?)")
	insertPlace := db.SQL("INSERT INTO place (mailbox, uid, message, modseq) VALUES (?, ?, ?, ?)")
	insertEvent := db.SQL("INSERT INTO event (id, message, at, stage, detail) VALUES (?, ?, ?, ?, ?)")
	cpu, _ := usage()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for {
				id := next.Add(1)
				if id > int64(b.N) {
					return
				}
				err := d.Write(context.Background(), func(tx *db.Tx) error {
					if _, err := tx.Exec(insertMessage, id, id, "someone@example.org", 5000, envelope); err != nil {
						return err
					}
					if _, err := tx.Exec(insertPlace, id%100, id, id, id); err != nil {
						return err
					}
					_, err := tx.Exec(insertEvent, id, id, id, "filed", "INBOX of someone@example.org")
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	used, resident := usage()
	used -= cpu
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
	b.ReportMetric(float64(commits.Load())/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(functions.Load())/float64(max(1, commits.Load())), "writes/commit")
	b.ReportMetric(float64(resident>>10), "max-rss-MiB")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-us/write")
}

// usage returns the processor time used so far and the largest resident memory
// in KiB.
func usage() (time.Duration, int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss
}

// BenchmarkInsert adds ten rows at a time to a table with indexes, as a commit of
// ten messages does; a step is one row.
func BenchmarkInsert(b *testing.B) {
	d, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "bench.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	const table = `CREATE TABLE event (id INTEGER PRIMARY KEY, message INTEGER NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, key INTEGER, detail TEXT NOT NULL);
CREATE INDEX event_message ON event (message, id); CREATE INDEX event_key ON event (key) WHERE key IS NOT NULL`
	if err := d.Migrate(b.Context(), db.Schema{Package: "bench", Steps: []db.Stmt{db.SQL(table)}}); err != nil {
		b.Fatal(err)
	}
	ins := db.Insert{Into: "event", Columns: []string{"id", "message", "at", "kind", "key", "detail"}}
	detail := fmt.Sprintf("%0300d", 1)
	const rows = 10
	b.ReportAllocs()
	cpu, _ := usage()
	b.ResetTimer()
	for n := 0; n < b.N; n += 100 * rows {
		err := d.Write(b.Context(), func(tx *db.Tx) error {
			for at := n; at < n+100*rows; at += rows {
				list := make([][]any, rows)
				for i := range list {
					id := int64(at + i + 1)
					list[i] = []any{id, id, id, "accepted", id, detail}
				}
				if err := tx.Insert(ins, list...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	used, _ := usage()
	b.ReportMetric(float64((used-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
}
