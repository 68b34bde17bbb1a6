package rule

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hayauma/hayauma/internal/db"
)

// Schema is the tables of this package: one row per rule. Positions count from
// 1; conditions are Conditions as JSON.
func Schema() db.Schema {
	return db.Schema{Package: "policy/rule", Steps: []db.Stmt{db.SQL(`
CREATE TABLE policy_rule (
	id         INTEGER PRIMARY KEY,
	position   INTEGER NOT NULL,
	name       TEXT NOT NULL UNIQUE,
	disabled   INTEGER NOT NULL,
	action     TEXT NOT NULL,
	text       TEXT NOT NULL,
	tag        TEXT NOT NULL,
	delay      INTEGER NOT NULL,
	conditions TEXT NOT NULL
);
`)}}
}

const columns = "id, position, name, disabled, action, text, tag, delay, conditions"

var (
	sqlRules = db.SQL("SELECT " + columns + " FROM policy_rule ORDER BY position, id")
	sqlAdd   = db.SQL("INSERT INTO policy_rule (" + columns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
)

func insert(tx *db.Tx, r Rule) error {
	text, err := json.Marshal(r.Conditions)
	if err != nil {
		return err
	}
	_, err = tx.Exec(sqlAdd, r.ID, r.Position, r.Name, r.Off, r.Action, r.Text, r.Tag, r.Delay, string(text))
	return err
}

// load reads all rules in their order.
func load(tx *db.Tx) ([]Rule, error) {
	out := []Rule{}
	rows, err := tx.Query(sqlRules)
	if err != nil {
		return nil, err
	}
	err = db.Each(rows, func(row db.Rows) error {
		var r Rule
		var conditions string
		err := row.Scan(&r.ID, &r.Position, &r.Name, &r.Off, &r.Action, &r.Text, &r.Tag, &r.Delay, &conditions)
		if err != nil {
			return err
		}
		// A condition that is not known must not be passed over: the rule would
		// match what it was never written for.
		dec := json.NewDecoder(bytes.NewReader([]byte(conditions)))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&r.Conditions); err != nil {
			return unreadable(r.Name, err)
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

func unreadable(name string, err error) error {
	return fmt.Errorf("the access rule %s cannot be read: %w; 'hayauma policy remove %s' ends it", name, err, name)
}
