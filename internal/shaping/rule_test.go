package shaping_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hayauma/hayauma/internal/db/dbtest"
	"github.com/hayauma/hayauma/internal/shaping"
)

func addRule(t *testing.T, s *shaping.Store, r shaping.Rule) shaping.Rule {
	t.Helper()
	r.Times = max(r.Times, 1)
	added, err := s.AddRule(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

// TestReplyRules: the operator's rule for a provider decides before the one for
// everyone, and that before what is shipped; all that is given must fit; and it
// outlives a restart.
func TestReplyRules(t *testing.T) {
	t.Parallel()
	engine := dbtest.New(t, shaping.Schema())
	s := open(t, engine)
	const yahoo = "4.7.0 [TSS04] Messages from\n192.0.2.1 temporarily deferred"
	decides := func(s *shaping.Store, provider string, code int, enhanced, text string, want shaping.Action, id int64) {
		t.Helper()
		r, ok, err := s.Try(provider, code, enhanced, text)
		if err != nil || ok != (want != "") || r.Do != want || r.ID != id {
			t.Errorf("%s %d %s %q: %+v %v %v, want rule %d, %s", provider, code, enhanced, text, r, ok, err, id, want)
		}
	}
	decides(s, "yahoodns.net", 421, "4.7.0", yahoo, shaping.Pause, 0)
	addRule(t, s, shaping.Rule{Provider: "*", Text: "Temporarily Deferred", Do: shaping.Drop})                               // 1
	addRule(t, s, shaping.Rule{Provider: "*", Code: 450, Enhanced: "4.2.1", Text: "inactive", Do: shaping.Permanent})        // 2
	addRule(t, s, shaping.Rule{Provider: "YahooDNS.net", Text: "from 192.0.2.1", Do: shaping.Slow, Rate: "1/s", Wait: "1h"}) // 3
	addRule(t, s, shaping.Rule{Provider: "yahoodns.net", Text: "[tss04]", Do: shaping.Temporary})                            // 4
	for _, s := range []*shaping.Store{s, open(t, engine)} {
		decides(s, "yahoodns.net", 421, "4.7.0", yahoo, shaping.Slow, 3)
		decides(s, "Other.test", 421, "4.7.0", yahoo, shaping.Drop, 1)
		decides(s, "other.test", 450, "4.2.1", "Mailbox is INACTIVE", shaping.Permanent, 2)
		decides(s, "other.test", 451, "4.2.1", "mailbox is inactive", "", 0)
		decides(s, "other.test", 450, "4.2.2", "mailbox is inactive", "", 0)
		decides(s, "other.test", 450, "4.2.1", "mailbox is full", "", 0)
	}
	rules, err := s.RulesFor("yahoodns.net")
	if err != nil || len(rules) < 10 || rules[0].ID != 3 || rules[1].ID != 4 || rules[2].ID != 1 || rules[4].ID != 0 {
		t.Errorf("%v, %+v", err, rules)
	}
	for _, id := range []int64{3, 1} {
		if err := s.RemoveRule(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	decides(s, "yahoodns.net", 421, "4.7.0", yahoo, shaping.Temporary, 4)
	decides(s, "other.test", 421, "4.7.0", yahoo, "", 0)
	if s.HasRule(3) || !s.HasRule(4) || s.HasRule(0) {
		t.Error("the wrong ones were removed")
	}
	if err := s.RemoveRule(t.Context(), 3); !errors.Is(err, shaping.ErrNoRule) {
		t.Errorf("removed twice: %v", err)
	}
	if r := addRule(t, s, shaping.Rule{Provider: "*", Text: "x", Do: shaping.Drop}); r.ID != 5 || !strings.HasPrefix(r.From, "set on 20") {
		t.Errorf("%+v", r)
	}
}

// TestRuling: each rule has its say in one place only, and as often as it asks for.
func TestRuling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dbtest.NewEmbedded(t, shaping.Schema()))
		addRule(t, s, shaping.Rule{Provider: "*", Text: "gone", Times: 3, Do: shaping.Permanent})
		addRule(t, s, shaping.Rule{Provider: "x.test", Text: "slowly", Do: shaping.Slow, Connections: 2, Wait: "10m"})
		if a, r := s.Advise("x.test", 450, "", "slowly"), s.Judge("x.test", shaping.Said{Code: 450, Text: "slowly"}); a.For != 10*time.Minute || a.Connections != 2 || r.Do != "" {
			t.Errorf("%+v, %+v", a, r)
		}
		var did []string
		for _, provider := range []string{"x.test", "x.test", "y.test", "x.test", "x.test"} {
			if _, ok, _ := s.Try(provider, 450, "", "gone"); !ok {
				t.Error("a trial finds nothing")
			}
			if a := s.Advise(provider, 450, "", "gone"); a != (shaping.Advice{}) {
				t.Errorf("%+v", a)
			}
			did = append(did, provider+" "+string(s.Judge(provider, shaping.Said{Code: 450, Text: "gone"}).Do))
		}
		if got := strings.Join(did, ", "); got != "x.test , x.test , y.test , x.test permanent, x.test " {
			t.Error(got)
		}
		addRule(t, s, shaping.Rule{Provider: "*", Text: "blocked", Do: shaping.Temporary})
		for range 3 { // what changes nothing is not counted
			s.Judge("z.test", shaping.Said{Code: 550, Text: "gone", Refused: true})
		}
		for text, want := range map[string][2]shaping.Action{"gone": {"", ""}, "blocked": {"", shaping.Temporary}} {
			for i, refused := range []bool{false, true} {
				if got := s.Judge("z.test", shaping.Said{Code: 500, Text: text, Refused: refused}); got.Do != want[i] {
					t.Errorf("%s, refused %v: %+v", text, refused, got)
				}
			}
		}
	})
}

func TestNoSuchReplyRule(t *testing.T) {
	t.Parallel()
	s := open(t, dbtest.New(t, shaping.Schema()))
	for want, r := range map[string]shaping.Rule{
		"no provider":               {Provider: "a b", Text: "x", Times: 1, Do: shaping.Drop},
		"from 400 to 599":           {Provider: "*", Code: 250, Times: 1, Do: shaping.Drop},
		"a code like 4.7.1":         {Provider: "*", Enhanced: "4.7", Times: 1, Do: shaping.Drop},
		"of one line":               {Provider: "*", Text: "a\nb", Times: 1, Do: shaping.Drop},
		"say which replies":         {Provider: "*", Times: 1, Do: shaping.Drop},
		"a code alone":              {Provider: "*", Code: 450, Times: 1, Do: shaping.Permanent},
		"times 0":                   {Provider: "*", Code: 450, Do: shaping.Drop},
		"there is no \"forget\"":    {Provider: "*", Code: 450, Times: 1, Do: "forget"},
		"give slow connections":     {Provider: "*", Code: 450, Times: 1, Do: shaping.Slow, Wait: "1h"},
		"and pause none":            {Provider: "*", Code: 450, Times: 1, Do: shaping.Pause, Rate: "1/s", Wait: "1h"},
		"write how long":            {Provider: "*", Code: 450, Times: 1, Do: shaping.Pause},
		"write messages in a time":  {Provider: "*", Code: 450, Times: 1, Do: shaping.Slow, Rate: "much", Wait: "1h"},
		"write a number from 1":     {Provider: "*", Code: 450, Times: 1, Do: shaping.Slow, Connections: -1, Wait: "1h"},
		"permanent is done at once": {Provider: "*", Text: "x", Times: 1, Do: shaping.Permanent, Wait: "1h"},
	} {
		if _, err := s.AddRule(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	if rules, err := s.Rules(t.Context()); err != nil || len(rules) != 0 {
		t.Errorf("%v, %v", rules, err)
	}
}
