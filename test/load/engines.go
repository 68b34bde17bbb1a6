package load

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
)

// postgresMissing is why the rows on PostgreSQL cannot run, empty if they can.
func (b *bench) postgresMissing() string {
	if b.postgres == "" {
		return "no PostgreSQL: see -postgres, or make bench"
	}
	return ""
}

func (b *bench) s3Missing() string {
	if b.postgres == "" || b.s3 == "" {
		return "no PostgreSQL and S3: see -postgres and -s3, or make bench"
	}
	return ""
}

// inPostgres keeps rows and bodies in a new schema.
func (b *bench) inPostgres(ctx context.Context) (string, error) {
	at, err := b.newSchema(ctx)
	return fmt.Sprintf("database = %q\nbodies = \"postgres\"", at), err
}

// inS3 keeps rows in a new schema and bodies under a new prefix.
func (b *bench) inS3(ctx context.Context) (string, error) {
	at, err := b.newSchema(ctx)
	return fmt.Sprintf("database = %q\nbodies = %q", at, strings.ReplaceAll(b.s3, "*", newName())), err
}

func newName() string { return "load" + strings.ToLower(rand.Text()) }

func (b *bench) newSchema(ctx context.Context) (string, error) {
	name := newName()
	err := runCommand(ctx, "", "psql", "-X", "-q", "-d", b.postgres, "-c", "CREATE SCHEMA "+name)
	separator := "?"
	if strings.Contains(b.postgres, "?") {
		separator = "&"
	}
	return b.postgres + separator + "search_path=" + name, err
}
