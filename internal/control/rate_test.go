package control_test

import (
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/policy/rate"
)

// most returns the limits that are a subject's own.
func most(list []rate.Usage) map[string]int64 {
	own := map[string]int64{}
	for _, u := range list {
		if u.Own {
			own[u.Rule] = u.Limit
		}
	}
	return own
}

func TestLimits(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		const alice = "alice@hayauma.test"
		w.stack.Account(alice, 0)
		for _, row := range []struct {
			call          control.Call[control.LimitChange, []rate.Usage]
			name, nobody  string
			nobodyIsWrong error
		}{
			{control.AccountLimit, alice, "bob@hayauma.test", account.ErrNoAccount},
			{control.DomainLimit, "hayauma.test", "other.test", account.ErrNoDomain},
		} {
			ask(t, w, row.call, control.LimitChange{Name: row.name, Set: map[string]int64{"messages_per_day": 5, "recipients_per_hour": 0}})
			list := ask(t, w, row.call, control.LimitChange{Name: row.name})
			if own := most(list); len(list) != len(rate.Rules()) || len(own) != 2 || own["messages_per_day"] != 5 {
				t.Errorf("%s: %+v", row.name, list)
			}
			list = ask(t, w, row.call, control.LimitChange{Name: row.name, Default: true, Set: map[string]int64{"messages_per_hour": 7}})
			if own := most(list); len(own) != 1 || own["messages_per_hour"] != 7 {
				t.Errorf("%s after --default: %+v", row.name, list)
			}
			refused(t, w, row.call, control.LimitChange{Name: row.nobody}, row.nobody+": "+row.nobodyIsWrong.Error())
			refused(t, w, row.call, control.LimitChange{Name: row.name, Set: map[string]int64{"messages_per_day": -1}},
				row.name+": messages_per_day = -1: "+rate.ErrLimit.Error())
		}

		// A domain that comes back begins with the defaults.
		ask(t, w, control.AccountRemove, control.AccountName{Address: alice})
		ask(t, w, control.DomainRemove, control.DomainName{Domain: "hayauma.test"})
		ask(t, w, control.DomainAdd, control.DomainSettings{Domain: "hayauma.test"})
		if own := most(ask(t, w, control.DomainLimit, control.LimitChange{Name: "hayauma.test"})); len(own) != 0 {
			t.Errorf("limits outlived their domain: %v", own)
		}
	})
}

func TestHolds(t *testing.T) {
	t.Parallel()
	both(t, options(), func(t *testing.T, w way) {
		const alice = "alice@hayauma.test"
		w.stack.Account(alice, 0)
		if list := ask(t, w, control.HoldList, none{}); list == nil || len(list) != 0 {
			t.Errorf("held: %+v", list)
		}
		refused(t, w, control.HoldRelease, control.AccountName{Address: alice}, alice+": "+rate.ErrNotHeld.Error())
		refused(t, w, control.HoldRelease, control.AccountName{Address: "bob@hayauma.test"}, "bob@hayauma.test: "+account.ErrNoAccount.Error())
	})
}
