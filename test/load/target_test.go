package load_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/test/load"
)

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ addr, want string }{
		{"127.0.0.1:25", "127.0.0.1:25"},
		{"127.255.3.4:0", "127.255.3.4:0"},
		{"[::1]:25", "[::1]:25"},
		{"[::ffff:127.0.0.1]:25", "127.0.0.1:25"},
		{"unix:/run/x", "unix:/run/x"},
		{"/run/x", "unix:/run/x"},
		{"localhost:25", "127.0.0.1:25"},
		{"", ""}, {"127.0.0.1", ""}, {"127.0.0.1:smtp", ""}, {"127.0.0.1:70000", ""},
		{":25", ""}, {"0.0.0.0:25", ""}, {"[::]:25", ""},
		{"192.0.2.1:25", ""}, {"10.0.0.1:25", ""}, {"169.254.1.1:25", ""}, {"128.0.0.1:25", ""},
		{"[2001:db8::1]:25", ""}, {"[fe80::1%lo]:25", ""}, {"[::ffff:192.0.2.1]:25", ""},
		{"unix:", ""},
	} {
		got, err := load.ParseTarget(t.Context(), tc.addr)
		switch {
		case tc.want == "" && err == nil:
			t.Errorf("%q was taken as %s", tc.addr, got)
		case tc.want != "" && (err != nil || got.String() != tc.want):
			t.Errorf("%q = %v, %v; want %s", tc.addr, got, err, tc.want)
		}
	}
	if _, err := load.ParseTarget(t.Context(), "192.0.2.1:25"); !errors.Is(err, load.ErrNotLoopback) {
		t.Errorf("error %v", err)
	}
}

func TestEveryDoorRefusesForeignAddresses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"source", "-addr", "192.0.2.1:25"},
		{"sink", "-addr", "0.0.0.0:2525"},
		{"imap", "-addr", "192.0.2.1:143"},
		{"imap", "-addr", "192.0.2.1:143", "-idle", "2"},
		{"pop3", "-addr", "192.0.2.1:110"},
	} {
		var out, errOut bytes.Buffer
		if code := load.Run(t.Context(), args, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), "not a loopback address") {
			t.Errorf("%v: exit %d, %s", args, code, errOut.String())
		}
	}
}

func TestRunUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args []string
		code int
	}{
		{nil, 2}, {[]string{"fly"}, 2}, {[]string{"source", "-wings"}, 2}, {[]string{"source", "extra"}, 2},
		{[]string{"help"}, 0}, {[]string{"source", "-h"}, 0},
	} {
		var out, errOut bytes.Buffer
		if code := load.Run(t.Context(), tc.args, &out, &errOut); code != tc.code {
			t.Errorf("%v: exit %d, want %d", tc.args, code, tc.code)
		}
	}
}
