package move_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/blob/blobtest"
	"github.com/hayauma/hayauma/internal/blob/pack"
	"github.com/hayauma/hayauma/internal/blob/pg"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
	"github.com/hayauma/hayauma/internal/move"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/test/stack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// domain is the schemas whose tables are copied: all but those of the bodies.
func domain() []db.Schema { return stack.Schemas() }

func all() []db.Schema { return append(domain(), pack.Schema()) }

func references() []blob.Reference { return append(mailbox.References(), queue.References()...) }

// tables are those that must arrive, with their columns and their keys.
var tables = []struct{ name, columns, key string }{
	{"tenant", "id name created", "id"},
	{"domain", "name tenant created relay split next_hosts next_tls", "name"},
	{"account", "id tenant key local domain password quota created scram language", "id"},
	{"alias", "key domain target", "key, target"},
	{"app_password", "id account name verifier scopes networks expires created used used_from", "id"},
	{"account_secret", "id secret", "id"},
	{"account_identity", "account key", "account, key"},
	{"relay_recipient", "domain key", "domain, key"},
	{"login_network", "name network last_success", "name, network"},
	{"login_ban", "name network number failures began ends", "name, network"},
	{"mailbox_account", "account modseq uidvalidity used messages mailboxes inbox erased", "account"},
	{"mailbox", "id account name role noselect uidvalidity uidnext recent messages unseen deleted size modseq changed created", "id"},
	{"mailbox_content", "body header sent_day message_id subject structure", "body"},
	{"mailbox_message", "mailbox uid account modseq created flags keywords size date message thread reply_key body prefix", "mailbox, uid"},
	{"mailbox_expunged", "mailbox modseq uid account message", "mailbox, modseq, uid"},
	{"mailbox_deleted", "account modseq mailbox", "account, modseq, mailbox"},
	{"mailbox_subscription", "account name", "account, name"},
	{"queue_message", `id tenant account stream tags body prefix size sender declared eightbit utf8 ret envid received expires
		deadline late priority requiretls longlines until`, "id"},
	{"queue_recipient", `id message address domain notify orcpt site state owner wish attempts next code enhanced reply ours host
		expired delayed received level tell flow`, "id"},
	{"queue_demand", "provider pause until lasts connections rate per why rule", "provider, pause, rule, connections, rate, per"},
	{"queue_retry", "scope name waits lifetime changed", "scope, name"},
	{"event", "id message tenant account at kind stream recipient key detail", "id"},
	{"event_key", "key event", "key, event"},
	{"event_key_fresh", "event key", "event"},
	{"policy_rule", "id position name disabled action text tag delay conditions", "id"},
	{"send_count", "kind subject minute messages recipients fresh", "kind, subject, minute"},
	{"send_limit", "kind subject rule most", "kind, subject, rule"},
	{"send_contact", "account hash day", "account, hash"},
	{"send_usual", "account day days messages recipients", "account"},
	{"send_hold", "account since reason settled", "account"},
	{"send_waiting", "message kind subject minute at recipients", "message, kind, subject"},
	{"send_erased", "account subject minute", "account"},
	{"relay_answer", "key domain verdict asked", "key"},
	{"shaping_limit", "provider name value changed", "provider, name"},
	{"shaping_reply", "id provider code enhanced text times action wait connections rate changed", "id"},
	{"shaping_event", "id provider kind about first last times text", "id"},
	{"route", "name kind tls login secret changed url auth proxy proxy_secret", "name"},
	{"route_host", "route host port preference weight", "route, host, port"},
	{"route_rule", "what value route changed", "what, value"},
	{"source_pool", "name overflow warmup", "name"},
	{"source_address", "address pool ehlo weight since", "address"},
	{"source_rule", "kind name pool", "kind, name"},
	{"source_sent", "address provider day sent step", "address, provider"},
	{"fingerprint", "mark message at", "mark"},
	{"sts_policy", "domain id policy fetched expires due used failure reason cause", "domain"},
	{"tls_report", "day domain state due attempts reply", "day, domain"},
	{"tls_result", "day domain policy failure body succeeded failed", "day, domain, policy, failure"},
}

// dump reads all rows that must arrive, a line each.
func dump(t *testing.T, d db.DB) []string {
	t.Helper()
	var out []string
	for _, table := range tables {
		each(t, d, table.columns, table.name, table.key, func(values []any) {
			out = append(out, fmt.Sprintf("%s %#v", table.name, values))
		})
	}
	return out
}

// each reads the rows of a table in the order of its key.
func each(t *testing.T, d db.DB, columns, table, key string, see func(values []any)) {
	t.Helper()
	names := strings.Fields(columns)
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		rows, err := tx.Query(db.SQL("SELECT " + strings.Join(names, ", ") + " FROM " + table + " ORDER BY " + key))
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			values, dest := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				dest[i] = &values[i]
			}
			err := r.Scan(dest...)
			see(values)
			return err
		})
	})
	if err != nil {
		t.Fatalf("table %s: %v", table, err)
	}
}

func wantSame(t *testing.T, from, to move.Side) {
	t.Helper()
	if diff := cmp.Diff(dump(t, from.DB), dump(t, to.DB)); diff != "" {
		t.Errorf("rows differ (-source +target):\n%s", diff)
	}
	for _, id := range bodies(t, from.DB) {
		if got, want := read(t, to.Blobs, id), read(t, from.Blobs, id); got != want {
			t.Errorf("body %s: %d octets, want %d", id, len(got), len(want))
		}
	}
	err := errors.Join(
		to.Blobs.Check(t.Context(), references(), func(fault string) { t.Errorf("check: %s", fault) }),
		to.DB.Check(t.Context(), func(fault string) { t.Errorf("check: %s", fault) }))
	if err != nil {
		t.Error(err)
	}
}

// bodies are all to which rows refer.
func bodies(t *testing.T, d db.DB) (ids []mail.ID) {
	t.Helper()
	err := d.Read(t.Context(), func(tx *db.Tx) error {
		ids = nil
		rows, err := tx.Query(db.SQL("SELECT body FROM mailbox_message UNION SELECT body FROM queue_message ORDER BY 1"))
		if err != nil {
			return err
		}
		return db.Each(rows, func(r db.Rows) error {
			var id mail.ID
			err := r.Scan(&id)
			ids = append(ids, id)
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func read(t *testing.T, s blob.Store, id mail.ID) string {
	t.Helper()
	r, err := s.Open(t.Context(), id)
	if err != nil {
		t.Fatalf("body %s: %v", id, err)
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("body %s: %v", id, err)
	}
	return string(b)
}

// place is a side whose bodies lie in a folder that the test can reach.
type place struct {
	move.Side
	dir string
}

// empty returns a migrated side without rows of its own.
func empty(t *testing.T, d db.DB) place {
	t.Helper()
	if err := d.Migrate(t.Context(), all()...); err != nil {
		t.Fatal(err)
	}
	p := place{dir: filepath.Join(t.TempDir(), "bodies")}
	p.DB = d
	p.open(t)
	return p
}

func (p *place) open(t *testing.T) {
	t.Helper()
	s, err := pack.Open(t.Context(), pack.Options{
		Dir: p.dir, DB: p.DB, IDs: mail.NewIDs(2, 0), MinFree: -1, Prealloc: 256 << 10, PackSize: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Blobs = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func embedded(t *testing.T) place { t.Helper(); return empty(t, dbtest.Embedded(t)) }

// inDatabase is a side whose bodies lie in its database.
func inDatabase(t *testing.T, d db.DB) place {
	t.Helper()
	must(t, d.Migrate(t.Context(), append(domain(), pg.Schema())...))
	s := pg.Open(pg.Options{DB: d, IDs: mail.NewIDs(3, 0)})
	t.Cleanup(func() { must(t, s.Close()) })
	return place{Side: move.Side{DB: d, Blobs: s}}
}

// flip changes a bit of a small body where it lies.
func (p *place) flip(t *testing.T, id mail.ID) {
	t.Helper()
	var number, start, length int64
	p.row(t, "SELECT pack, start, length FROM body WHERE id = ?", []any{id}, &number, &start, &length)
	if number == 0 {
		t.Fatal("a large body")
	}
	f, err := os.OpenFile(filepath.Join(p.dir, "packs", fmt.Sprintf("%010d.pack", number)), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	_, err = f.ReadAt(one, start+length-1)
	one[0] ^= 4
	if _, werr := f.WriteAt(one, start+length-1); err != nil || werr != nil {
		t.Fatal(err, werr)
	}
}

func (p *place) row(t *testing.T, sql string, args []any, dest ...any) {
	t.Helper()
	err := p.DB.Read(t.Context(), func(tx *db.Tx) error { return tx.Row(db.SQL(sql), args, dest...) })
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func exec(t *testing.T, d db.DB, sql string, args ...any) {
	t.Helper()
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(db.SQL(sql), args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// first returns the first column of the first row.
func (p *place) first(t *testing.T, sql string) (id mail.ID) {
	t.Helper()
	p.row(t, sql, nil, &id)
	return id
}

// source is a server that had some use, on the engine of the environment.
func source(t *testing.T) move.Side {
	t.Helper()
	s := stack.New(t, stack.Options{Asleep: true})
	a, b := s.Account("anna@a.test", 1<<30), s.Account("Ben@a.test", 0)
	s.Account("早馬@例え.test", 0)
	s.Alias("all@a.test", "anna@a.test", "ben@a.test", "far@b.test")
	must(t, s.Directory.AddIdentity(t.Context(), a.Address, "*@elsewhere.test"))
	s.Relay("relay.test", account.Relay{Recipients: account.ByList, To: []string{"mx.relay.test:26"}}, "taro@relay.test")
	_, err := s.Directory.AddAppPassword(t.Context(), a.Address, account.AppPassword{Name: "phone", Scopes: account.Scopes()})
	must(t, err)
	deliver(t, s, "one", "anna@a.test", "ben@a.test")
	deliver(t, s, "two \xff\xfe", "all@a.test", "x@b.test", "y@c.test")
	deliver(t, s, strings.Repeat("a long line of text\r\n", 50_000), "ben@a.test") // a file of its own
	ctx := t.Context()
	must(t, s.Mailboxes.Subscribe(ctx, a.ID, "Lists", true))
	for _, name := range []string{"Work", "Work/早馬", "Gone"} {
		_, err := s.Mailboxes.Create(ctx, b.ID, name)
		must(t, err)
	}
	v, err := s.Mailboxes.Select(ctx, b.ID, mailbox.Inbox, false)
	must(t, err)
	defer v.Close()
	uids := v.UIDs(mailbox.Set{{First: 1}})
	_, err = v.Copy(ctx, uids, "Work")
	must(t, err)
	_, err = v.Move(ctx, uids[:1], "Work/早馬")
	must(t, err)
	_, err = v.Store(ctx, uids[1:2], mailbox.Add, mailbox.Flagged|mailbox.Deleted, []string{"later"})
	must(t, err)
	_, err = v.Expunge(ctx, nil)
	must(t, err)
	must(t, s.Mailboxes.Delete(ctx, b.ID, "Gone"))
	must(t, s.Routes.Set(ctx, route.Route{Name: "relay", Kind: route.SMTP, TLS: "implicit", User: "早馬", Secret: "p w", Hosts: []route.Host{{Name: "h.test", Port: 465, Weight: 1}}}))
	must(t, s.Routes.SetRule(ctx, route.Rule{What: route.Everyone, Route: "relay"}))
	exec(t, s.DB, "UPDATE tenant SET created = 77") // a row of migrations that was changed since
	many(t, s)
	return move.Side{DB: s.DB, Blobs: s.Blobs}
}

// many adds rows and bodies for more than one slice.
func many(t *testing.T, s *stack.Stack) {
	t.Helper()
	const messages, events = 270, 600
	stored := make([]blob.Body, messages)
	var wg sync.WaitGroup
	for n := range 16 { // so that they share syncs
		wg.Go(func() {
			for i := n; i < messages; i += 16 {
				w := s.Blobs.Create()
				_, _ = w.Write(blobtest.Bytes(40*i, uint64(i))) // told by Commit
				var err error
				if stored[i], err = w.Commit(t.Context(), blob.Meta{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rows, history, keys := make([][]any, messages), make([][]any, events), make([][]any, events)
	for i, b := range stored {
		rows[i] = []any{b.ID, 1, 0, "", "", b.ID, []byte{0, 255, byte(i)}, b.Size, "", 0, 0, 0, "", "", int64(i), 1 << 60, int64(-i), 3, -9, 1, 1, 1}
	}
	for i := range history {
		id := s.IDs.Next()
		history[i] = []any{id, 1, 1, 0, -i, "test", "", "", nil, "{}"}
		keys[i] = []any{i % 7, id}
	}
	must(t, s.DB.Write(t.Context(), func(tx *db.Tx) error {
		if err := s.Blobs.Record(tx, stored...); err != nil {
			return err
		}
		return errors.Join(
			one(tx, stored[messages-1].ID),
			tx.Insert(db.Insert{Into: "queue_message", Columns: columns("queue_message")}, rows...),
			tx.Insert(db.Insert{Into: "event", Columns: columns("event")}, history...),
			tx.Insert(db.Insert{Into: "event_key", Columns: columns("event_key")}, keys...))
	}))
}

func columns(table string) []string {
	for _, t := range tables {
		if t.name == table {
			return strings.Fields(t.columns)
		}
	}
	return nil
}

func deliver(t *testing.T, s *stack.Stack, text string, to ...string) {
	t.Helper()
	origin := mail.Origin{Door: mail.DoorSMTP, Peer: netip.MustParseAddrPort("192.0.2.7:4321"), Helo: "client.test", Protocol: "ESMTP"}
	tx := s.Intake.Begin(origin, mail.Envelope{From: s.Address("a@b.test")})
	for _, rcpt := range to {
		target, fault := tx.Resolve(t.Context(), s.Address(rcpt))
		if fault == nil {
			fault = tx.Add(t.Context(), mail.Recipient{Address: s.Address(rcpt)}, target)
		}
		if fault != nil {
			t.Fatal(fault)
		}
	}
	_, _ = tx.Write([]byte("Message-ID: <" + fmt.Sprint(len(text)) + "@b.test>\r\nSubject: " + text[:min(8, len(text))] + "\r\n\r\n" + text)) // told by Commit
	if r := tx.Commit(t.Context()); r.Fault != nil {
		t.Fatal(r.Fault)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// options of a copy with the real schemas.
func options(from, to move.Side) move.Options {
	return move.Options{From: from, To: to, Schemas: domain(), References: references()}
}

func run(t *testing.T, o move.Options) move.Report {
	t.Helper()
	r, err := move.Run(context.WithoutCancel(t.Context()), o)
	must(t, err)
	return r
}

func wantStage(t *testing.T, d db.DB, want move.Stage) {
	t.Helper()
	got, err := move.State(t.Context(), d)
	if err != nil || got != want {
		t.Errorf("stage %q, %v, want %q", got, err, want)
	}
	usable := move.Usable(t.Context(), d)
	if finished := want == move.None || want == move.Complete; finished != (usable == nil) || !finished && !errors.Is(usable, move.ErrIncomplete) {
		t.Errorf("at stage %q: %v", want, usable)
	}
}

// mortal is an engine that dies at a write.
type mortal struct {
	db.DB
	left  atomic.Int64 // writes that still work
	after bool         // the last one is committed, but its answer lost
}

var errDied = errors.New("the process died")

func (m *mortal) Write(ctx context.Context, fn func(*db.Tx) error) error {
	switch left := m.left.Add(-1); {
	case left >= 0:
		return m.DB.Write(ctx, fn)
	case m.after && left == -1:
		if err := m.DB.Write(ctx, fn); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", db.ErrUnknown, errDied)
	}
	return errDied
}

// sick is a body store that cannot give some bodies.
type sick struct {
	blob.Store
	bad map[mail.ID]error
}

func (s sick) Open(ctx context.Context, id mail.ID) (blob.Reader, error) {
	switch err := s.bad[id]; {
	case errors.Is(err, errLate):
		r, err := s.Store.Open(ctx, id)
		return late{r}, err
	case err != nil:
		return nil, err
	}
	return s.Store.Open(ctx, id)
}

var errLate = errors.New("only when it is read")

// late gives an error only when a body is read.
type late struct{ blob.Reader }

func (l late) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.Reader.ReadAt(p[:min(len(p), 10)], off)
	if err == nil {
		err = blob.ErrCorrupt
	}
	return n, err
}
