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
`), {SQL: appTables + "INSERT INTO account_secret (id, secret) VALUES (1, randomblob(32));", Postgres: appTables +
		"INSERT INTO account_secret (id, secret) VALUES (1, sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')));",
	}, db.SQL(identityTable),
		db.SQL("ALTER TABLE account ADD COLUMN language TEXT NOT NULL DEFAULT ''"),
		db.SQL(relayTables)}}
}

// appTables hold passwords for one program each, and the verifier of an account's
// own password where it was asked for.
const appTables = `
ALTER TABLE account ADD COLUMN scram TEXT NOT NULL DEFAULT '';
CREATE TABLE app_password (
	id        INTEGER PRIMARY KEY,
	account   INTEGER NOT NULL REFERENCES account (id),
	name      TEXT NOT NULL,
	verifier  TEXT NOT NULL,
	scopes    TEXT NOT NULL,
	networks  TEXT NOT NULL,
	expires   INTEGER NOT NULL,
	created   INTEGER NOT NULL,
	used      INTEGER NOT NULL,
	used_from TEXT NOT NULL,
	UNIQUE (account, name)
);
CREATE TABLE account_secret (
	id     INTEGER PRIMARY KEY,
	secret BLOB NOT NULL
);
`
