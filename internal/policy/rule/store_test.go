package rule_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/db/postgres"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is rules over a real engine.
type shelf struct {
	*rule.Store
	t  *testing.T
	db db.DB
}

func newShelf(t *testing.T) shelf {
	t.Helper()
	d := dbtest.New(t, rule.Schema())
	return shelf{t: t, db: d, Store: rule.New(rule.Options{DB: d, IDs: mail.NewIDs(1, 0)})}
}

func (s shelf) add(p rule.Place, line string) {
	s.t.Helper()
	name, rest, _ := strings.Cut(line, ": ")
	r := words(s.t, rest)[0]
	r.Name = name
	if _, err := s.Add(s.t.Context(), r, p); err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
}

// order is the names in their order, with the numbers that they have.
func (s shelf) order() string {
	s.t.Helper()
	rules, err := s.List(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for i, r := range rules {
		if r.Position != i+1 {
			s.t.Errorf("%s has number %d at place %d", r.Name, r.Position, i+1)
		}
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

// says is the rule that decides on a stranger at MAIL.
func (s shelf) says() string {
	s.t.Helper()
	c, err := s.Open(s.t.Context(), stranger(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	return said(c.Mail(s.t.Context()))
}

// What is written is read, whole.
func TestRulesAreKept(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	if rules, err := s.List(t.Context()); err != nil || rules == nil || len(rules) != 0 {
		t.Errorf("%v, %v", rules, err)
	}
	want := words(t, "reject from=@a.test,<> to=b@c.test text=No!", "tarpit delay=9 network=192.0.2.0/24 door=smtp,lmtp",
		"tag tag=bulk helo=*dsl* reverse=<>", "accept login=@a.test certificate=relay-*")
	for i := range want {
		added, err := s.Add(t.Context(), want[i], rule.Place{})
		if err != nil || added.ID == 0 || added.Position != i+1 {
			t.Fatalf("%+v, %v", added, err)
		}
		want[i].ID = added.ID
	}
	got, err := s.List(t.Context())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// Every change holds for the next transaction; one that has begun goes on with
// the rules that it has.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	expect := func(order, says string) {
		t.Helper()
		if got := s.order(); got != order {
			t.Errorf("order %q, want %q", got, order)
		}
		if got := s.says(); got != says {
			t.Errorf("decides %q, want %q", got, says)
		}
	}
	expect("", "none")
	s.add(rule.Place{}, "b: reject from=@far.test")
	expect("b", "b")
	running, err := s.Open(t.Context(), stranger(t))
	if err != nil {
		t.Fatal(err)
	}
	s.add(rule.Place{}, "c: defer door=smtp")
	s.add(rule.Place{Before: "b"}, "a: accept network=192.0.2.0/24")
	expect("a b c", "a")
	if got := said(running.Mail(t.Context())); got != "b" {
		t.Errorf("the running transaction is told %s", got)
	}
	s.add(rule.Place{At: 2}, "ab: tag tag=x door=smtp")
	s.add(rule.Place{At: 99}, "d: tag tag=y door=smtp")
	expect("a ab b c d", "a")
	for _, step := range []struct {
		name        string
		place       rule.Place
		position    int
		order, says string
	}{
		{"a", rule.Place{}, 5, "ab b c d a", "b +x"},
		{"c", rule.Place{Before: "ab"}, 1, "c ab b d a", "c"},
		{"c", rule.Place{At: 3}, 3, "ab b c d a", "b +x"},
		{"ab", rule.Place{At: 1}, 1, "ab b c d a", "b +x"},
		{"d", rule.Place{Before: "a"}, 4, "ab b c d a", "b +x"},
	} {
		if at, err := s.Move(t.Context(), step.name, step.place); err != nil || at != step.position {
			t.Errorf("move %s %+v: %d, %v", step.name, step.place, at, err)
		}
		expect(step.order, step.says)
	}
	for _, on := range []bool{false, true} {
		if err := s.Switch(t.Context(), "b", on); err != nil {
			t.Fatal(err)
		}
		expect("ab b c d a", map[bool]string{false: "c +x", true: "b +x"}[on])
	}
	if err := s.Remove(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	expect("ab c d a", "c +x")
}

func TestChangesThatAreWrong(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(rule.Place{}, "a: accept door=smtp")
	r := words(t, "accept door=smtp")[0]
	r.Name = "a"
	add := func(r rule.Rule, p rule.Place) error {
		_, err := s.Add(t.Context(), r, p)
		return err
	}
	move := func(name string, p rule.Place) error {
		_, err := s.Move(t.Context(), name, p)
		return err
	}
	bad := r
	bad.Name = ""
	other := r
	other.Name = "b"
	for name, row := range map[string]struct{ got, want error }{
		"twice":             {add(r, rule.Place{}), rule.ErrExists},
		"before nobody":     {add(other, rule.Place{Before: "x"}), rule.ErrNoRule},
		"two places":        {add(other, rule.Place{Before: "a", At: 1}), rule.ErrPlace},
		"a number below 1":  {add(other, rule.Place{At: -1}), rule.ErrPlace},
		"remove nobody":     {s.Remove(t.Context(), "x"), rule.ErrNoRule},
		"move nobody":       {move("x", rule.Place{}), rule.ErrNoRule},
		"move before none":  {move("a", rule.Place{Before: "x"}), rule.ErrNoRule},
		"switch nobody off": {s.Switch(t.Context(), "x", false), rule.ErrNoRule},
	} {
		if !errors.Is(row.got, row.want) {
			t.Errorf("%s: %v", name, row.got)
		}
	}
	if err := add(bad, rule.Place{}); err == nil {
		t.Error("a rule without a name was taken")
	}
	if err := move("a", rule.Place{Before: "a"}); err == nil {
		t.Error("a rule stands before itself")
	}
	if got := s.order(); got != "a" {
		t.Errorf("what was refused was done: %q", got)
	}
}

// Those who reorder at once leave each rule with a number of its own.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.add(rule.Place{}, "first: accept door=smtp")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := words(t, "accept door=smtp")[0]
			r.Name = fmt.Sprint("r", i)
			if _, err := s.Add(t.Context(), r, rule.Place{At: 1}); err != nil {
				t.Error(err)
			}
			if _, err := s.Move(t.Context(), "first", rule.Place{At: i}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := strings.Fields(s.order()); len(got) != 9 {
		t.Errorf("%q", got)
	}
}

// A list has a bound, and the bound a sentence.
func TestTooManyRules(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	err := s.db.Write(t.Context(), func(tx *db.Tx) error {
		var rows [][]any
		for i := range 1000 {
			rows = append(rows, []any{i + 1, i + 1, fmt.Sprint("r", i), 0, "accept", "", "", 0, `{"door":["lmtp"]}`})
		}
		return tx.Insert(db.Insert{Into: "policy_rule", Columns: []string{
			"id", "position", "name", "disabled", "action", "text", "tag", "delay", "conditions"}}, rows...)
	})
	if err != nil {
		t.Fatal(err)
	}
	r := words(t, "accept door=smtp")[0]
	if _, err := s.Add(t.Context(), r, rule.Place{}); !errors.Is(err, rule.ErrMany) {
		t.Errorf("%v", err)
	}
	if _, err := s.Move(t.Context(), "r999", rule.Place{At: 1}); err != nil {
		t.Error(err)
	}
	if got := s.says(); got != "none" {
		t.Error(got)
	}
}

// Rules that were read once need no store; those that cannot be read, or not be
// understood, put mail off instead of letting it pass.
func TestRulesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, conditions := range map[string]string{"newer": `{"from":["a@b.test"],"country":["jp"]}`, "broken": `{`, "wrong": `{"from":["x"]}`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t)
			s.add(rule.Place{}, "odd: reject from=a@b.test")
			exec(t, s.db, db.SQL("UPDATE policy_rule SET conditions = ?"), conditions)
			fresh := rule.New(rule.Options{DB: s.db, IDs: mail.NewIDs(2, 0)})
			_, err := fresh.Open(t.Context(), stranger(t))
			if err == nil || !strings.Contains(err.Error(), "'hayauma policy remove odd'") || mail.AsFault(err).Code() != 451 {
				t.Errorf("%v", err)
			}
			if err := fresh.Remove(t.Context(), "odd"); err != nil {
				t.Error(err)
			}
			if _, err := fresh.Open(t.Context(), stranger(t)); err != nil {
				t.Error(err)
			}
		})
	}
	s := newShelf(t)
	s.add(rule.Place{}, "a: reject door=smtp")
	if got := s.says(); got != "a" {
		t.Error(got)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.says(); got != "a" {
		t.Errorf("from memory: %s", got)
	}
	if _, err := rule.New(rule.Options{DB: s.db}).Open(t.Context(), stranger(t)); err == nil {
		t.Error("rules of a store that is away")
	}
}

func exec(t *testing.T, d db.DB, s db.Stmt, args ...any) {
	t.Helper()
	err := d.Write(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(s, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// node is one of several processes on a database.
func node(t *testing.T, url string, number uint8) shelf {
	t.Helper()
	d, err := postgres.Open(t.Context(), postgres.Options{URL: url, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Migrate(t.Context(), rule.Schema()); err != nil {
		t.Fatal(err)
	}
	s := shelf{t: t, db: d, Store: rule.New(rule.Options{DB: d, IDs: mail.NewIDs(number, 0)})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return s
}

// What one process changes holds in another soon.
func TestOtherProcesses(t *testing.T) {
	t.Parallel()
	server := testkit.NewPostgres(t)
	here, there := node(t, server.URL(""), 1), node(t, server.URL(""), 2)
	if got := there.says(); got != "none" {
		t.Error(got)
	}
	here.add(rule.Place{}, "a: reject door=smtp")
	testkit.Eventually(t, 20*time.Second, "the other's rule", func() bool { return there.says() == "a" })
	if err := there.Remove(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	testkit.Eventually(t, 20*time.Second, "its end", func() bool { return here.says() == "none" })
}
