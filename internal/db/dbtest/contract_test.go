package dbtest_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestEmbedded(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, dbtest.Embedded)
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	dbtest.Run(t, func(t testing.TB) db.DB {
		return dbtest.Postgres(t, testkit.NewSchema(t, server.URL("")))
	})
}
