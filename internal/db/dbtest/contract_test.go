package dbtest_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/db/dbtest"
)

func TestEmbedded(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, dbtest.Embedded)
}
