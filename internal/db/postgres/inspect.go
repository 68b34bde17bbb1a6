package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Faults is what is wrong with a server, each a sentence that says what to do.
type Faults struct {
	Fatal    []string // mail could be lost: it is not used
	Warnings []string
}

// minVersion is the oldest server, as server_version_num tells it.
const minVersion = 150000

// Inspect connects to a database and tells what is wrong with it. It changes
// nothing.
func Inspect(ctx context.Context, url string) (Faults, error) {
	cfg, err := parse(url)
	if err != nil {
		return Faults{}, err
	}
	c, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return Faults{}, fmt.Errorf("storage.database: %w", wrap(err))
	}
	f, err := inspect(ctx, c)
	_ = c.Close(ctx) // nothing hangs on it
	if err == nil && len(cfg.ConnConfig.Fallbacks) > 0 && f.standbys == "" && severalHosts(cfg.ConnConfig) {
		f.Warnings = append(f.Warnings, "storage.database names several hosts, but synchronous_standby_names is empty on the primary: "+
			"a failover would lose the mail accepted last; set it, for example to 'ANY 1 (s1, s2)'")
	}
	return f.Faults, err
}

// severalHosts tells whether a URL names more than one: pgx also counts the
// tries with and without TLS as fallbacks.
func severalHosts(c *pgx.ConnConfig) bool {
	for _, f := range c.Fallbacks {
		if f.Host != c.Host || f.Port != c.Port {
			return true
		}
	}
	return false
}

type inspected struct {
	Faults
	standbys string
}

func inspect(ctx context.Context, c *pgx.Conn) (f inspected, err error) {
	var version int
	var name, fsync, fullPages, commit, encoding string
	err = c.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('fsync'),
		current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()`).
		Scan(&version, &name, &fsync, &fullPages, &commit, &f.standbys, &encoding)
	if err != nil {
		return f, err
	}
	fatal := func(wrong bool, format string, args ...any) {
		if wrong {
			f.Fatal = append(f.Fatal, fmt.Sprintf(format, args...))
		}
	}
	fatal(version < minVersion, "the server is PostgreSQL %s: version 15 or later is needed", name)
	fatal(fsync != "on", "the server runs with fsync = %s: a power cut would destroy the database; set fsync = on and restart it", fsync)
	fatal(fullPages != "on", "the server runs with full_page_writes = %s: a power cut could tear pages; set it to on and reload", fullPages)
	fatal(commit == "off", "synchronous_commit is off: mail that got a 250 would be lost in a crash; "+
		"set it to on, in postgresql.conf or with ALTER DATABASE or ALTER ROLE, whichever turned it off")
	fatal(encoding != "UTF8", "the database has the encoding %s: make one with ENCODING 'UTF8'", encoding)
	if commit == "local" && f.standbys != "" {
		f.Warnings = append(f.Warnings, "synchronous_commit is local, so commits do not wait for the standbys in synchronous_standby_names: set it to on")
	}
	return f, nil
}
