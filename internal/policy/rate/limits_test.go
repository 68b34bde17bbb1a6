package rate_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/policy/rate"
)

func TestOwnLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]int64{"messages_per_day": 2})
	n := rate.ForAccount(alice)
	if got := w.sends(3); got != 2 {
		t.Fatalf("%d taken by default", got)
	}
	w.must(w.SetLimits(t.Context(), n, map[string]int64{"messages_per_day": 5, "recipients_per_hour": 4}))
	if got := w.sends(9); got != 2 {
		t.Errorf("%d more taken with limits of its own, want 2", got)
	}
	w.must(w.SetLimits(t.Context(), n, map[string]int64{"recipients_per_hour": 0}))
	if got := w.sends(9); got != 1 {
		t.Errorf("%d more taken without one limit, want 1", got)
	}
	w.restart()
	if got := w.sends(1); got != 0 {
		t.Error("its own limit is forgotten by a restart")
	}
	list, err := w.Usage(t.Context(), n)
	w.must(err)
	var texts []string
	for _, u := range list {
		if u.Own {
			texts = append(texts, u.Rule)
		}
	}
	if got := strings.Join(texts, " "); got != "messages_per_day recipients_per_hour" || len(list) != len(rate.Rules()) {
		t.Errorf("its own are %q of %d", got, len(list))
	}
	w.must(w.ClearLimits(t.Context(), n))
	if got := w.used(alice, "messages_per_day"); got != 5 || w.sends(1) != 0 {
		t.Errorf("%d used, and it may send beyond the default", got)
	}
	w.setDefaults(map[string]int64{"messages_per_day": 6})
	if got := w.sends(9); got != 1 {
		t.Errorf("%d taken after a reload, want 1", got)
	}
}

func TestLimitsThatCannotBeSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	n := rate.ForAccount(alice)
	for _, most := range []int64{-1, rate.MaxLimit + 1} {
		if err := w.SetLimits(t.Context(), n, map[string]int64{"messages_per_day": most}); !errors.Is(err, rate.ErrLimit) {
			t.Errorf("%d: %v", most, err)
		}
	}
	err := w.SetLimits(t.Context(), n, map[string]int64{"messages_per_week": 1, "messages_per_day": 1})
	if err == nil || !strings.Contains(err.Error(), "new_recipients_per_day") {
		t.Errorf("an unknown limit: %v", err)
	}
	if list, err := w.Usage(t.Context(), n); err != nil || list[2].Own {
		t.Errorf("half of it is set: %+v, %v", list, err)
	}
}
