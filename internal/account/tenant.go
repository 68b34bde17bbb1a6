package account

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// ErrNoTenant says that a tenant is not known.
var ErrNoTenant = errors.New("there is no such tenant")

var sqlTenants = db.SQL("SELECT id, name FROM tenant ORDER BY id")

// Tenants returns the names of all tenants.
func (d *Directory) Tenants(ctx context.Context) (map[mail.ID]string, error) {
	out := map[mail.ID]string{}
	err := d.o.DB.Read(ctx, func(tx *db.Tx) error {
		rows, err := tx.Query(sqlTenants)
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var id mail.ID
			var name string
			err := r.Scan(&id, &name)
			out[id] = name
			return err
		})
	})
	return out, err
}
