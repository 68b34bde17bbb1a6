package move_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/move"
)

// one adds a row to each table that the use of a server leaves without one that tells
// its columns apart; it refers to a body that is there.
func one(tx *db.Tx, body mail.ID) error {
	const large = 1 << 61 // ids behind those of the rows that the tests look for
	for _, r := range []struct {
		table string
		row   []any
	}{
		{"domain", []any{"one.test", 1, 2, "ask", 3, "mx.one.test:26", "verify"}},
		{"account", []any{large, 1, "早@one.test", "早", "one.test", "hash", 2, 3, "verifier", "ja"}},
		{"app_password", []any{large + 1, large, "laptop", "verifier", "imap", "192.0.2.0/24", 2, 3, 4, "192.0.2.8"}},
		{"login_network", []any{"早@a.test", "192.0.2.7/32", 1}},
		{"login_ban", []any{"早@a.test", "2001:db8::/64", 1, 2, 3, 4}},
		{"mailbox_account", []any{large, 2, 3, 4, 5, 6, 7, 1}},
		{"mailbox", []any{large, 1, "早", "junk", 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}},
		{"mailbox_content", []any{body, 1, 2, "one@x.test", "早", []byte{0, 255}}},
		{"mailbox_message", []any{large, 1, 2, 3, 4, 5, "later", 6, 7, 8, 9, 10, body, []byte{255, 0}}},
		{"queue_message", []any{large, 1, 2, "bulk", "a b", body, []byte{0}, 3, "早@x.test", 4, 5, 6, "FULL", "早", 7, 8, 9, 10, 11, 12, 13, 1}},
		{"queue_recipient", []any{large + 1, large, "早@y.test", "y.test", 1, "rfc822;早", "route:relay", 4, 2, 3, 5, 6, 7, "4.0.0", "no", 8, "mx.y.test",
			9, 10, 11, 12, 13, 14}},
		{"queue_demand", []any{"x.test", 1, 2, 3, 4, 5, 6, "早馬", 7}},
		{"queue_retry", []any{"stream", "早馬", "1m 1h", 60, 1}},
		{"policy_rule", []any{1, 2, "早馬", 3, "reject", "not now", "early", 4, "{}"}},
		{"send_count", []any{2, "早.test", 3, 4, 5, 6}},
		{"send_limit", []any{2, "早.test", "messages-per-day", 3}},
		{"send_contact", []any{1, math.MinInt64, 2}},
		{"send_usual", []any{1, 2, 3, 4, 5}},
		{"send_hold", []any{1, 2, "早馬", 3}},
		{"send_waiting", []any{large, 2, "早.test", 3, 4, 5}},
		{"send_erased", []any{1, "早", 2}},
		{"relay_answer", []any{"早@relay.test", "relay.test", 2, 1}},
		{"shaping_limit", []any{"x.test", "tls", "none despite-policy", 1}},
		{"shaping_reply", []any{3, "*", 450, "4.2.1", "早馬", 2, "slow", "1h", 1, "1/s", 4}},
		{"shaping_event", []any{large, "x.test", "down", "y.test", 1, 2, 3, "早馬"}},
		{"route", []any{"hook", "http", "none", "早", "s", 1, "https://h.test/", "bearer", "socks5://u@p.test:1080", "馬"}},
		{"route_host", []any{"hook", "h.test", 1, 2, 3}},
		{"route_rule", []any{"recipient-domain", "x.test", "hook", 1}},
		{"source_pool", []any{"p", "q", "50 100"}},
		{"source_address", []any{"192.0.2.7", "p", "out.x.test", 3, 4}},
		{"source_rule", []any{"tag", "早馬", "p"}},
		{"source_sent", []any{"192.0.2.7", "y.test", 20000, 5, 1}},
		{"sts_policy", []any{"x.test", "5", "version: STSv1\nmode: none\nmax_age: 60\n", 1, 2, 3, 4, "sts-policy-fetch-error", "早馬", "馬"}},
		{"tls_report", []any{20000, "x.test", "waiting", 1, 2, "早馬"}},
		{"tls_result", []any{20000, "x.test", "a", "", "{}", 3, 4}},
		{"tls_result", []any{20000, "x.test", "a", "b", "{}", 5, 4}},
	} {
		if err := tx.Insert(db.Insert{Into: r.table, Columns: columns(r.table)}, r.row); err != nil {
			return fmt.Errorf("%s: %w", r.table, err)
		}
	}
	return nil
}

// The rows show a column that is lost, and one that is taken for another: each holds
// something in some row, and in some row something else than each other one.
func everyColumnTells(t *testing.T, from move.Side) {
	for _, table := range tables {
		names := strings.Fields(table.columns)
		unseen := map[string]bool{}
		for i, name := range names {
			unseen[name] = true
			for _, other := range names[i+1:] {
				unseen[name+" = "+other] = true
			}
		}
		each(t, from.DB, table.columns, table.name, table.key, func(values []any) {
			for i, name := range names {
				if !nothing(values[i]) {
					delete(unseen, name)
				}
				for j := i + 1; j < len(names); j++ {
					if fmt.Sprint(values[i]) != fmt.Sprint(values[j]) {
						delete(unseen, name+" = "+names[j])
					}
				}
			}
		})
		if len(unseen) > 0 {
			t.Errorf("the rows of table %s would not show it if they lost or mixed up: %v", table.name, slices.Sorted(maps.Keys(unseen)))
		}
	}
}

// nothing tells whether a value is what a column may have by itself.
func nothing(value any) bool {
	switch text := fmt.Sprint(value); text {
	case "0", "", "[]", "<nil>":
		return true
	}
	return false
}
