package pop3d

import (
	"net"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// letters are the messages of every dialog.
func letters() []string {
	return []string{
		"From: hanako@example.test\r\nSubject: one\r\n\r\nFirst line\r\nSecond line\r\nThird line\r\n",
		"From: hanako@example.test\r\nSubject: dots\r\n\r\n.\r\n..two\r\nno end of line",
		"From: hanako@example.test\r\nSubject: header alone\r\n",
	}
}

func TestDialogs(t *testing.T) {
	t.Parallel()
	for folder, cleartext := range map[string]bool{"cleartext": true, "tls": false} {
		testkit.RunAll(t, "testdata/"+folder+"/*.txt", func(t *testing.T) testkit.Dialog {
			set := settings()
			set.AllowCleartext = cleartext
			w := newWorld(t, set)
			w.append(letters()...)
			return testkit.Dialog{
				TLS:  w.ca.ClientConfig("mx.hayauma.test"),
				Dial: func(string) (net.Conn, error) { return w.dial(t.Context()), nil },
			}
		})
	}
}
