package route

import (
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// Schema is the tables of this package.
//
//   - route: one row per route. A secret is a password as it is sent, proxy_secret that of
//     the proxy's user.
//   - route_host: one row per host that a route leads to.
//   - route_rule: one row per rule. A value is a domain or an id, empty for everyone;
//     the route may be none.
func Schema() db.Schema {
	return db.Schema{Package: "route", Steps: []db.Stmt{db.SQL(`
CREATE TABLE route (
	name TEXT NOT NULL PRIMARY KEY,
	kind TEXT NOT NULL,
	tls TEXT NOT NULL,
	login TEXT NOT NULL,
	secret TEXT NOT NULL,
	changed INTEGER NOT NULL
);
CREATE TABLE route_host (
	route TEXT NOT NULL,
	host TEXT NOT NULL,
	port INTEGER NOT NULL,
	preference INTEGER NOT NULL,
	weight INTEGER NOT NULL,
	PRIMARY KEY (route, host, port)
);
CREATE TABLE route_rule (
	what TEXT NOT NULL,
	value TEXT NOT NULL,
	route TEXT NOT NULL,
	changed INTEGER NOT NULL,
	PRIMARY KEY (what, value)
);
`), db.SQL(`
ALTER TABLE route ADD COLUMN url TEXT NOT NULL DEFAULT '';
ALTER TABLE route ADD COLUMN auth TEXT NOT NULL DEFAULT '';
`), db.SQL("ALTER TABLE route ADD COLUMN proxy TEXT NOT NULL DEFAULT '';"),
		db.SQL("ALTER TABLE route ADD COLUMN proxy_secret TEXT NOT NULL DEFAULT '';")}}
}

var (
	selectRoutes = db.SQL("SELECT name, kind, tls, login, secret, changed, url, auth, proxy, proxy_secret FROM route ORDER BY name")
	selectHosts  = db.SQL("SELECT route, host, port, preference, weight FROM route_host ORDER BY route, preference, host, port")
	selectRules  = db.SQL("SELECT what, value, route FROM route_rule ORDER BY what, value")

	insertRoute = db.Insert{Into: "route", Columns: []string{"name", "kind", "tls", "login", "secret", "changed", "url", "auth", "proxy", "proxy_secret"},
		Conflict: `ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, tls = excluded.tls, login = excluded.login,
			secret = excluded.secret, changed = excluded.changed, url = excluded.url, auth = excluded.auth,
			proxy = excluded.proxy, proxy_secret = excluded.proxy_secret`}
	insertHost = db.Insert{Into: "route_host", Columns: []string{"route", "host", "port", "preference", "weight"}}
	insertRule = db.Insert{Into: "route_rule", Columns: []string{"what", "value", "route", "changed"},
		Conflict: "ON CONFLICT (what, value) DO UPDATE SET route = excluded.route, changed = excluded.changed"}

	deleteRoute  = db.SQL("DELETE FROM route WHERE name = ?")
	deleteHosts  = db.SQL("DELETE FROM route_host WHERE route = ?")
	deleteRule   = db.SQL("DELETE FROM route_rule WHERE what = ? AND value = ?")
	countRoute   = db.SQL("SELECT COUNT(*) FROM route WHERE name = ?")
	countRoutes  = db.SQL("SELECT COUNT(*) FROM route")
	countRules   = db.SQL("SELECT COUNT(*) FROM route_rule")
	countRulesTo = db.SQL("SELECT COUNT(*) FROM route_rule WHERE route = ?")
)

// table is all that the operator has set, as it is held in memory.
type table struct {
	list   []Route // by name
	routes map[string]Route
	order  []Rule
	rules  map[key]string
}

func read(tx *db.Tx) (*table, error) {
	t := &table{list: []Route{}, routes: map[string]Route{}, order: []Rule{}, rules: map[key]string{}}
	hosts := map[string][]Host{}
	err := each(tx, selectHosts, func(r db.Rows) error {
		var h Host
		var name string
		err := r.Scan(&name, &h.Name, &h.Port, &h.Preference, &h.Weight)
		hosts[name] = append(hosts[name], h)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(tx, selectRoutes, func(row db.Rows) error {
		var r Route
		var secret, proxySecret string
		err := row.Scan(&r.Name, &r.Kind, &r.TLS, &r.User, &secret, &r.Changed, &r.URL, &r.Auth, &r.Proxy, &proxySecret)
		r.Secret, r.HasSecret, r.Hosts = Secret(secret), secret != "", hosts[r.Name]
		r.ProxySecret, r.HasProxySecret = Secret(proxySecret), proxySecret != ""
		t.list, t.routes[r.Name] = append(t.list, r), r
		return err
	})
	if err != nil {
		return nil, err
	}
	return t, each(tx, selectRules, func(row db.Rows) error {
		var r Rule
		err := row.Scan(&r.What, &r.Value, &r.Route)
		t.order, t.rules[r.key()] = append(t.order, r), r.Route
		return err
	})
}

func each(tx *db.Tx, s db.Stmt, fn func(db.Rows) error) error {
	rows, err := tx.Query(s)
	if err != nil {
		return err
	}
	return db.Each(rows, fn)
}

// Erase removes the rule of an account that is removed, in its commit. Refresh
// comes behind it.
func (s *Store) Erase(tx *db.Tx, account mail.ID) error {
	n, err := tx.Exec(deleteRule, string(Account), account.String())
	if n > 0 {
		tx.OnCommit(s.stale)
	}
	return err
}
