package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hayauma/hayauma/internal/db"
)

// lockKey is the advisory lock of a process that works in a schema, and
// migrateKey the one of whoever changes its tables.
const (
	lockKey    = 0x68617901
	migrateKey = 0x68617902
)

const (
	keeperPause   = time.Second     // between two looks at the database
	keeperTimeout = 5 * time.Second // for one look
)

// ownTables are those of the engine itself. A transaction leaves its mark
// there, and a process its epoch: the process that came last is the one that
// may write. A server says as well where it is and when it was there last.
const ownTables = `
CREATE TABLE IF NOT EXISTS storage_owner (epoch BIGINT NOT NULL);
INSERT INTO storage_owner (epoch) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM storage_owner);
CREATE TABLE IF NOT EXISTS storage_server (epoch BIGINT NOT NULL, place TEXT NOT NULL, seen BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS write_mark (id BIGINT PRIMARY KEY, at BIGINT NOT NULL, void BOOLEAN NOT NULL);
CREATE INDEX IF NOT EXISTS write_mark_at ON write_mark (at);`

// keeper holds the lock that keeps other processes out, on a connection of its
// own, and looks whether the database answers.
type keeper struct {
	d   *DB
	cfg *pgx.ConnConfig
	c   *pgx.Conn // nil while there is none

	mu  sync.Mutex
	err error // why the database cannot be used now
}

// takeOver connects, checks the server and makes this process its writer.
func takeOver(ctx context.Context, d *DB, cfg *pgx.ConnConfig) (*keeper, error) {
	k := &keeper{d: d, cfg: cfg}
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("storage.database: %w", wrap(err))
	}
	k.c = c
	if err = k.begin(ctx); err != nil {
		_ = c.Close(ctx) // the error that matters is err
		return nil, err
	}
	return k, nil
}

func (k *keeper) begin(ctx context.Context) error {
	faults, err := inspect(ctx, k.c)
	if err != nil {
		return fmt.Errorf("storage.database: %w", wrap(err))
	}
	if len(faults.Fatal) > 0 {
		return fmt.Errorf("storage.database: %s", faults.Fatal[0])
	}
	if err := k.yield(ctx); err != nil {
		return err
	}
	if err := k.lock(ctx); err != nil {
		return err
	}
	if _, err := k.c.PgConn().Exec(ctx, ownTables).ReadAll(); err != nil {
		return fmt.Errorf("storage.database: the tables of the engine cannot be made: %w", wrap(err))
	}
	var epoch int64
	next := "UPDATE storage_owner SET epoch = epoch + 1 RETURNING epoch"
	if k.d.o.Shared {
		next = "SELECT epoch FROM storage_owner" // it ends the time of no other
	}
	err = k.c.QueryRow(ctx, next).Scan(&epoch)
	if err != nil {
		return fmt.Errorf("storage.database: %w", wrap(err))
	}
	k.d.epoch.Store(epoch)
	if k.d.o.Shared {
		return nil
	}
	return k.register(ctx)
}

// aliveFor is how long a server that was seen keeps commands elsewhere out. It
// outlasts a short loss of the network.
const aliveFor = time.Minute

// yield leaves the database to a server elsewhere that was there lately. Its lock
// ends with its connection, but taking over from it would end a server that is
// back in a moment, for a command that the server could have answered. A server that
// starts does take over: that is how one stands in for another.
func (k *keeper) yield(ctx context.Context) error {
	if k.d.o.Serves || k.d.o.Shared {
		return nil
	}
	var known bool
	if err := k.c.QueryRow(ctx, "SELECT to_regclass('storage_server') IS NOT NULL").Scan(&known); err != nil {
		return fmt.Errorf("storage.database: %w", wrap(err))
	}
	if !known {
		return nil
	}
	var place string
	var age int64
	err := k.c.QueryRow(ctx, `SELECT place, extract(epoch FROM now())::bigint - seen FROM storage_server
		WHERE place <> $1 ORDER BY seen DESC LIMIT 1`, k.d.o.Place).Scan(&place, &age)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("storage.database: %w", wrap(err))
	case age >= int64(aliveFor.Seconds()):
		return nil
	}
	return fmt.Errorf("storage.database: %w: the server at %s was there %d s ago; run the command there, or stop that server first "+
		"(one that was killed counts as gone after %v)", db.ErrInUse, place, age, aliveFor)
}

// register takes away what the servers before left, and says who this one is.
func (k *keeper) register(ctx context.Context) error {
	_, err := k.c.Exec(ctx, "DELETE FROM storage_server WHERE epoch < $1", k.d.epoch.Load())
	if err == nil && k.d.o.Serves {
		_, err = k.c.Exec(ctx, "INSERT INTO storage_server (epoch, place, seen) VALUES ($1, $2, extract(epoch FROM now())::bigint)",
			k.d.epoch.Load(), k.d.o.Place)
	}
	if err != nil {
		return fmt.Errorf("storage.database: %w", wrap(err))
	}
	return nil
}

// noWait, in a WHERE, lets a change commit without the disk or a standby: the next
// one does the same, and a standby that is gone must not hold up the keeper.
const noWait = " AND (SELECT set_config('synchronous_commit', 'off', true)) = 'off'"

// seen says that the server is still there.
func (k *keeper) seen(ctx context.Context) error {
	if !k.d.o.Serves || k.d.o.Shared {
		return nil
	}
	_, err := k.c.Exec(ctx, "UPDATE storage_server SET seen = extract(epoch FROM now())::bigint WHERE epoch = $1"+noWait, k.d.epoch.Load())
	return wrap(err)
}

func (k *keeper) lock(ctx context.Context) error {
	var got bool
	how := "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))"
	if k.d.o.Shared {
		how = "SELECT pg_try_advisory_lock_shared($1, hashtext(current_schema()))"
	}
	if err := k.c.QueryRow(ctx, how, int32(lockKey)).Scan(&got); err != nil {
		return fmt.Errorf("storage.database: %w", wrap(err))
	}
	if !got {
		return fmt.Errorf("storage.database: %w", db.ErrInUse)
	}
	return nil
}

// run looks after the connection until the engine is closed.
func (k *keeper) run() {
	for n := 0; k.d.rest(keeperPause); n++ {
		ctx, cancel := context.WithTimeout(context.Background(), keeperTimeout)
		err := k.look(ctx)
		if err == nil && n%5 == 4 {
			err = k.seen(ctx)
		}
		if err == nil && n%60 == 59 {
			err = k.sweep(ctx)
		}
		cancel()
		k.set(err)
	}
}

func (k *keeper) look(ctx context.Context) error {
	if k.c != nil {
		if err := k.c.Ping(ctx); err != nil {
			_ = k.c.Close(ctx)
			k.c = nil
			return wrap(err)
		}
		return nil
	}
	c, err := pgx.ConnectConfig(ctx, k.cfg)
	if err != nil {
		return wrap(err)
	}
	k.c = c
	if err = k.resume(ctx); err != nil {
		_ = c.Close(ctx)
		k.c = nil
	}
	return err
}

// resume takes the lock again after the connection was lost, perhaps to another
// server. Meanwhile another process may have come: then our time is over.
func (k *keeper) resume(ctx context.Context) error {
	var epoch int64
	if err := k.c.QueryRow(ctx, "SELECT epoch FROM storage_owner").Scan(&epoch); err != nil {
		return wrap(err)
	}
	if epoch != k.d.epoch.Load() {
		return k.d.breakWith(fmt.Errorf("%w: %w", db.ErrInUse, errNotUs))
	}
	return k.lock(ctx)
}

// markAge is how long marks are kept beyond what anyone waits for one; where
// other processes may be looking for theirs, for long.
const (
	markAge       = 10 * time.Minute
	markAgeShared = 24 * time.Hour
)

// sweep removes old marks, unless one is being looked for: without it a
// transaction would count as never committed.
func (k *keeper) sweep(ctx context.Context) error {
	if k.d.unclear.Load() > 0 {
		return nil
	}
	age := markAge
	if k.d.o.Shared {
		age = markAgeShared
	}
	_, err := k.c.Exec(ctx, `DELETE FROM write_mark WHERE id IN
		(SELECT id FROM write_mark WHERE at < extract(epoch FROM now())::bigint - $1 ORDER BY at LIMIT 100000)`+noWait, int64(age.Seconds()))
	return wrap(err)
}

func (k *keeper) set(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil && k.err == nil:
		k.d.log.Error("the database does not answer", "error", err)
	case err == nil && k.err != nil:
		k.d.log.Info("the database answers again")
	}
	k.err = err
}

func (k *keeper) health() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil && !errors.Is(k.err, db.ErrUnavailable) {
		return fmt.Errorf("%w: %w", db.ErrUnavailable, k.err)
	}
	return k.err
}

func (k *keeper) close() {
	if k.c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), keeperTimeout)
	defer cancel()
	if k.d.o.Serves {
		// What stays counts as gone after aliveFor.
		_, _ = k.c.Exec(ctx, "DELETE FROM storage_server WHERE epoch = $1"+noWait, k.d.epoch.Load())
	}
	_ = k.c.Close(ctx) // the lock ends with it, whatever it says
}
