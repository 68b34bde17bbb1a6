package control_test

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/control"
)

func TestBans(t *testing.T) {
	t.Parallel()
	o := options()
	o.LoginFailures = 3
	both(t, o, func(t *testing.T, w way) {
		peer := netip.MustParseAddr("192.0.2.7")
		for range 3 {
			a := account.Attempt{Door: "imap", Peer: peer, User: "Nobody@hayauma.test", Password: "a wrong one"}
			if _, err := w.stack.Gate.Login(t.Context(), a); !errors.Is(err, account.ErrCredentials) {
				t.Fatal(err)
			}
		}
		got := ask(t, w, control.BanList, control.Empty{})
		if len(got) != 2 || got[0].State != "stopped" || got[1].State != "banned" || got[1].Name != "nobody@hayauma.test" || got[1].Network != "192.0.2.7/32" {
			t.Errorf("%+v", got)
		}
		const none = "nobody is banned, stopped or slowed down by this name or from this network"
		refused(t, w, control.BanClear, control.BanFilter{Of: "192.0.2.8"}, "192.0.2.8: "+none)
		if n := ask(t, w, control.BanClear, control.BanFilter{Of: "nobody@hayauma.test"}).Entries; n != 1 {
			t.Errorf("cleared %d of the name", n)
		}
		if n := ask(t, w, control.BanClear, control.BanFilter{All: true}).Entries; n != 1 {
			t.Errorf("cleared %d of all", n)
		}
		refused(t, w, control.BanClear, control.BanFilter{}, "say whose bans: a login name, a network, or all")
	})
}
