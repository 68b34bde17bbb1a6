package smtp_test

import (
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestNotify(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		notify mail.Notify
		text   string
	}{
		"NEVER": {mail.NotifyNever, "NEVER"}, "success": {mail.NotifySuccess, "SUCCESS"},
		"DELAY,FAILURE":         {mail.NotifyDelay | mail.NotifyFailure, "FAILURE,DELAY"},
		"success,failure,Delay": {mail.NotifySuccess | mail.NotifyDelay | mail.NotifyFailure, "SUCCESS,FAILURE,DELAY"},
	} {
		if got, err := smtp.ParseNotify(in); err != nil || got != want.notify || smtp.FormatNotify(got) != want.text {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ",", "NEVER,SUCCESS", "SUCCESS,NEVER", "DELAY,DELAY", "SUCCESS,", "ALWAYS", "SUCCESS DELAY"} {
		if got, err := smtp.ParseNotify(in); err == nil {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestEnvIDAndRet(t *testing.T) {
	t.Parallel()
	if got, err := smtp.ParseEnvID("QQ+2B314159"); err != nil || got != "QQ+314159" {
		t.Errorf("%q, %v", got, err)
	}
	for _, in := range []string{"", "+", "+0D", "+FF", "a+7F", strings.Repeat("x", 101)} {
		if got, err := smtp.ParseEnvID(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got, err := smtp.ParseRet("hdrs"); err != nil || got != "HDRS" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := smtp.ParseRet("BODY"); err == nil {
		t.Errorf("%q", got)
	}
}

func TestORCPT(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct{ decoded, again string }{
		"rfc822;Bob+2Blist@b.test":        {"rfc822;Bob+list@b.test", "rfc822;Bob+2Blist@b.test"},
		"RFC822;a@b":                      {"RFC822;a@b", "RFC822;a@b"},
		"x-local;user+20name":             {"x-local;user name", "x-local;user+20name"},
		`utf-8;j\x{FC}rgen@b.test`:        {"utf-8;jürgen@b.test", `utf-8;j\x{FC}rgen@b.test`},
		"rfc822;ü@b.test":                 {"utf-8;ü@b.test", `utf-8;\x{FC}@b.test`},
		"rfc822;+C3+BC@b.test":            {"utf-8;ü@b.test", `utf-8;\x{FC}@b.test`},
		"utf-8;太郎@b.test":                 {"utf-8;太郎@b.test", `utf-8;\x{592A}\x{90CE}@b.test`},
		`utf-8;a\x{2B}b\x{5C}c\x{3D}@b.t`: {`utf-8;a+b\c=@b.t`, `utf-8;a\x{2B}b\x{5C}c\x{3D}@b.t`},
	} {
		got, err := smtp.ParseORCPT(in)
		if err != nil || got != want.decoded || smtp.FormatORCPT(got) != want.again {
			t.Errorf("%q: %q, %q, %v", in, got, smtp.FormatORCPT(got), err)
		}
	}
	for _, in := range []string{
		"", "a@b", ";a@b", "rfc822;", "rfc822;a+0D+0Ab", "rfc822;+FF", "rf c;a", `utf-8;\x{}`, `utf-8;\x{D800}`,
		`utf-8;\x{110000}`, `utf-8;\u00FC`, `utf-8;\x{0A}`, `utf-8;a\`, "rfc822;" + strings.Repeat("x", 500),
	} {
		if got, err := smtp.ParseORCPT(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func FuzzORCPT(f *testing.F) {
	f.Add("rfc822;Bob+2Blist@b.test")
	f.Add(`utf-8;j\x{FC}rgen@b.test`)
	f.Fuzz(func(t *testing.T, in string) {
		got, err := smtp.ParseORCPT(in)
		if err != nil {
			return
		}
		out := smtp.FormatORCPT(got)
		if strings.ContainsAny(out, " \r\n=") {
			t.Errorf("%q is written %q", in, out)
		}
		if again, err := smtp.ParseORCPT(out); len(out) <= 500 && (err != nil || again != got) {
			t.Errorf("%q is %q, which is written %q and then %q, %v", in, got, out, again, err)
		}
	})
}
