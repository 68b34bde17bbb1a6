package control_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/policy/rule"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		if list := ask(t, w, control.PolicyList, none{}); list == nil || len(list) != 0 {
			t.Errorf("no rules are %+v", list)
		}
		casino := rule.Rule{Name: "casino", Action: rule.Reject, Text: "No, thanks", Conditions: rule.Conditions{Senders: []string{"@casino.test"}}}
		office := rule.Rule{Name: "office", Action: rule.Accept, Conditions: rule.Conditions{Networks: []string{"192.0.2.0/24"}}}
		if at := ask(t, w, control.PolicyAdd, control.PolicyAddition{Rule: casino}); at.Position != 1 {
			t.Errorf("%+v", at)
		}
		if at := ask(t, w, control.PolicyAdd, control.PolicyAddition{Rule: office, Place: rule.Place{Before: "casino"}}); at.Position != 1 {
			t.Errorf("%+v", at)
		}
		refused(t, w, control.PolicyAdd, control.PolicyAddition{Rule: casino}, "casino: "+rule.ErrExists.Error())
		refused(t, w, control.PolicyAdd, control.PolicyAddition{Rule: rule.Rule{Name: "x", Action: rule.Accept}},
			"x: the rule has no condition: say when it matches; --door smtp is all that other servers bring")
		refused(t, w, control.PolicyRemove, control.PolicyName{Name: "x"}, "x: "+rule.ErrNoRule.Error())
		refused(t, w, control.PolicyTurn, control.PolicySwitch{Name: "x"}, "x: "+rule.ErrNoRule.Error())
		refused(t, w, control.PolicyMove, control.PolicyPlace{Name: "office", Place: rule.Place{Before: "x"}}, "office: before x: "+rule.ErrNoRule.Error())

		q := rule.Question{IP: "192.0.2.1", Door: "smtp", From: "a@casino.test"}
		if got := ask(t, w, control.PolicyTest, q); got.Rule != "office" || got.Action != rule.Accept || len(got.Steps) != 2 {
			t.Errorf("%+v", got)
		}
		if at := ask(t, w, control.PolicyMove, control.PolicyPlace{Name: "office"}); at.Position != 2 {
			t.Errorf("%+v", at)
		}
		if got := ask(t, w, control.PolicyTest, q); got.Rule != "casino" || got.Reply != "550 5.7.1 No, thanks" || got.At != "MAIL" {
			t.Errorf("%+v", got)
		}
		ask(t, w, control.PolicyTurn, control.PolicySwitch{Name: "casino"})
		list := ask(t, w, control.PolicyList, none{})
		if len(list) != 2 || !list[0].Off || list[0].Text != "No, thanks" || list[1].Conditions.Networks[0] != "192.0.2.0/24" || list[1].Position != 2 {
			t.Errorf("%+v", list)
		}
		ask(t, w, control.PolicyRemove, control.PolicyName{Name: "casino"})
		if got := ask(t, w, control.PolicyTest, q); got.Rule != "office" {
			t.Errorf("%+v", got)
		}
		_, err := control.Ask(t.Context(), w.Client, control.PolicyTest, rule.Question{})
		if err == nil || !strings.HasPrefix(err.Error(), "--ip ") {
			t.Errorf("%v", err)
		}
	})
}
