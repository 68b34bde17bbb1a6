package interop

import (
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
	"github.com/hayauma/hayauma/test/node"
)

// door is where curl logs in.
type door struct {
	url  string
	more []string
}

// doorsOf are those of a server that begin with TLS.
func doorsOf(t *testing.T, n *node.Node, from string) []door {
	t.Helper()
	letter := write(t, t.TempDir(), "letter", "From: "+from+"\r\nSubject: by curl\r\n\r\nHello\r\n")
	return []door{
		{"smtps://" + n.Submissions + "/client.test", []string{"--mail-from", from, "--mail-rcpt", "bob@a.test", "--upload-file", letter}},
		{"imaps://" + n.IMAPS + "/", []string{"--request", "STATUS INBOX (MESSAGES)"}},
		{"pop3s://" + n.POP3S + "/", nil},
	}
}

// TestCurlLogsInByToken: by tokens of an issuer, at each door, and by no others.
func TestCurlLogsInByToken(t *testing.T) {
	t.Parallel()
	curl := testkit.Require(t, "curl")
	issuer := testkit.NewIssuer(t)
	trust := write(t, t.TempDir(), "issuer.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw})))
	n := node.Start(t, node.Options{
		Env:   []string{"SSL_CERT_FILE=" + trust},
		Extra: "[auth]\noauth_issuer = \"" + issuer.URL + "\"\noauth_audience = [\"mail\"]\n",
	})
	good := issuer.Token("one", "RS256", issuer.Claims(map[string]any{"email": "alice@a.test"}))
	others := issuer.Token("one", "RS256", issuer.Claims(map[string]any{"email": "bob@a.test"}))
	for _, d := range doorsOf(t, n, "alice@a.test") {
		for _, token := range []string{good, others} {
			node.Program(t, node.Job{Fails: token == others}, curl, append([]string{
				"--silent", "--show-error", "--cacert", n.CA, "--max-time", "20", "--sasl-ir",
				"--user", "alice@a.test", "--oauth2-bearer", token, "--login-options", "AUTH=OAUTHBEARER", d.url,
			}, d.more...)...)
		}
	}
	n.WaitInbox("bob", 1)
	testkit.Eventually(t, node.Patience, "the failures in the history", func() bool {
		list := n.Run("", "login", "list")
		return strings.Contains(list, "OAUTHBEARER") && strings.Contains(list, "alice@a.test")
	})
}

// TestCurlLogsInByCertificate: by one that names an account, at each door.
func TestCurlLogsInByCertificate(t *testing.T) {
	t.Parallel()
	curl := testkit.Require(t, "curl")
	ca, strangers := testkit.NewCA(t), testkit.NewCA(t)
	certificate, key := ca.Files(t, "alice@a.test")
	n := node.Start(t, node.Options{Extra: "[auth]\nclient_ca = \"" + filepath.Join(filepath.Dir(certificate), "ca.pem") + "\"\n"})
	foreign, foreignKey := strangers.Files(t, "alice@a.test")
	for _, d := range doorsOf(t, n, "alice@a.test") {
		for _, pair := range [][2]string{{certificate, key}, {foreign, foreignKey}} {
			node.Program(t, node.Job{Fails: pair[0] == foreign}, curl, append([]string{
				"--silent", "--show-error", "--cacert", n.CA, "--max-time", "20",
				"--cert", pair[0], "--key", pair[1], "--user", "alice@a.test:", "--login-options", "AUTH=EXTERNAL", d.url,
			}, d.more...)...)
		}
	}
	n.WaitInbox("bob", 1)
	// A server that shows a certificate of other authorities still brings mail, and
	// access rules see it.
	letter := write(t, t.TempDir(), "letter", "Subject: from elsewhere\r\n\r\nHello\r\n")
	bring := func(certificate, key string, fails bool) {
		node.Program(t, node.Job{Fails: fails}, curl, "--silent", "--show-error", "--cacert", n.CA, "--max-time", "20", "--ssl-reqd", "--cert", certificate, "--key", key,
			"smtp://"+n.SMTP+"/client.test", "--mail-from", "x@c.test", "--mail-rcpt", "bob@a.test", "--upload-file", letter)
	}
	bring(foreign, foreignKey, false)
	n.Run("", "policy", "add", "ours", "--action", "reject", "--certificate", "alice@a.test", "--text", "Not with this one")
	bring(foreign, foreignKey, false)
	bring(certificate, key, true)
	n.WaitInbox("bob", 3)
}
