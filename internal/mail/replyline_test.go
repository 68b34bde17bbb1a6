package mail

import "testing"

func TestReplyLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		code            int
		enhanced, words string
		want            string
	}{
		{451, "4.2.1", "Not now", "451 4.2.1 Not now"},
		{451, "", "Not now", "451 Not now"},
		{451, "4.2.1", "451 Not now", "451 4.2.1 Not now"},
		{451, "4.2.1", "451 4.2.1 Not now", "451 4.2.1 Not now"},
		{451, "4.2.1", "4.2.1 Not\r\n4.2.1 now", "451 4.2.1 Not 4.2.1 now"},
		{451, "", "4510 letters", "451 4510 letters"},
		{451, "4.2.1", "", "451 4.2.1"},
		{451, "", "451", "451"},
		{0, "4.4.1", "no route\nto host", "4.4.1 no route to host"},
		{0, "", "no route to host", "no route to host"},
		{0, "", "", ""},
	} {
		if got := ReplyLine(row.code, row.enhanced, row.words); got != row.want {
			t.Errorf("%d %q %q: %q, want %q", row.code, row.enhanced, row.words, got, row.want)
		}
	}
}
