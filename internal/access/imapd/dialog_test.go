package imapd_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/access/imapd"
	"github.com/hayauma/hayauma/internal/testkit"
)

// TestDialog plays the transcripts. Those whose names begin with "tls" have
// logins behind TLS alone; "fetch" and "search" find the samples in INBOX.
func TestDialog(t *testing.T) {
	t.Parallel()
	testkit.RunAll(t, "testdata/*.txt", func(t *testing.T) testkit.Dialog {
		w := newWorld(t)
		_, name, _ := strings.Cut(t.Name(), "/")
		switch {
		case strings.HasPrefix(name, "tls"):
			w.change(func(s *imapd.Settings) { s.AllowCleartext = false })
		case strings.HasPrefix(name, "fetch"), strings.HasPrefix(name, "search"):
			w.samples()
		}
		return w.dialog()
	})
}
