package account

import "github.com/hayauma/hayauma/internal/db"

// MainTenant owns everything until somebody asks for more tenants.
const MainTenant = 1

// Schema returns the tables of this package.
//
// A key is mail.Address.Key: both halves without case. An alias leads from a
// key, or from "*@domain", to addresses as they were given.
func Schema() db.Schema {
	return db.Schema{Package: "account", Steps: []db.Stmt{db.SQL(`
CREATE TABLE tenant (
	id      INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	created INTEGER NOT NULL
);
INSERT INTO tenant (id, name, created) VALUES (1, 'main', 0);

CREATE TABLE domain (
	name    TEXT NOT NULL PRIMARY KEY,
	tenant  INTEGER NOT NULL REFERENCES tenant (id),
	created INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE account (
	id       INTEGER PRIMARY KEY,
	tenant   INTEGER NOT NULL REFERENCES tenant (id),
	key      TEXT NOT NULL UNIQUE,
	local    TEXT NOT NULL,
	domain   TEXT NOT NULL REFERENCES domain (name),
	password TEXT NOT NULL,
	quota    INTEGER NOT NULL,
	created  INTEGER NOT NULL
);
CREATE INDEX account_domain ON account (domain, id);

CREATE TABLE alias (
	key    TEXT NOT NULL,
	domain TEXT NOT NULL REFERENCES domain (name),
	target TEXT NOT NULL,
	PRIMARY KEY (key, target)
) WITHOUT ROWID;
CREATE INDEX alias_domain ON alias (domain);
`)}}
}
