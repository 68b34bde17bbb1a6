package mail_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strconv"
	"testing"

	"github.com/hayauma/hayauma/internal/mail"
)

// rows reads codes.go as it is written, so that no row can be missing here.
func rows(t *testing.T) map[string]mail.Status {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]mail.Status{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		lit, ok := spec.Values[0].(*ast.CompositeLit)
		if !ok || len(lit.Elts) != 4 {
			t.Fatalf("%s is no row", spec.Names[0])
		}
		var v [4]int
		for i, e := range lit.Elts {
			b, ok := e.(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s: element %d is no number", spec.Names[0], i)
			}
			if v[i], err = strconv.Atoi(b.Value); err != nil {
				t.Fatal(err)
			}
		}
		list[spec.Names[0].Name] = mail.Status{Subject: uint8(v[0]), Detail: uint8(v[1]), Temp: uint16(v[2]), Perm: uint16(v[3])}
		return false
	})
	if len(list) < 40 {
		t.Fatalf("only %d rows", len(list))
	}
	return list
}

func TestStatusRows(t *testing.T) {
	t.Parallel()
	// Basic codes that RFC 5321 §4.2.3, RFC 4954 §6, RFC 3207 §4 and RFC 7504 know.
	temp := []uint16{421, 450, 451, 452, 454, 455}
	perm := []uint16{500, 501, 502, 503, 504, 521, 530, 534, 535, 538, 550, 551, 552, 553, 554, 555, 556}
	// Details that the IANA registry has for each subject.
	largest := [8]uint8{0, 10, 4, 5, 7, 6, 10, 30}
	names := map[mail.Status]string{}
	for name, s := range rows(t) {
		if !slices.Contains(temp, s.Temp) || !slices.Contains(perm, s.Perm) {
			t.Errorf("%s: basic codes %d and %d", name, s.Temp, s.Perm)
		}
		if s.Subject > 7 || s.Detail > largest[s.Subject] {
			t.Errorf("%s: %s is not registered", name, s.Enhanced(mail.Permanent))
		}
		if s.Code(mail.Transient)/100 != 4 || s.Code(mail.Permanent)/100 != 5 {
			t.Errorf("%s: code and class disagree", name)
		}
		// RFC 4954 §6 and RFC 3207 §4 have one code for two reasons.
		if other, twice := names[s]; twice && (name != "AuthRequired" && name != "TLSRequired") {
			t.Errorf("%s and %s are one row", name, other)
		}
		names[s] = name
	}
}

// What people search for: these pairs must not change.
func TestWellKnownCodes(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]mail.Status{
		"550 5.1.1": mail.NoSuchMailbox, "550 5.7.1": mail.NotAuthorized, "552 5.3.4": mail.MessageTooBig, "552 5.2.2": mail.MailboxFull,
		"530 5.7.0": mail.AuthRequired, "535 5.7.8": mail.AuthCredentials, "503 5.5.1": mail.BadCommand, "500 5.5.2": mail.BadSyntax,
		"501 5.5.4": mail.BadArguments, "504 5.5.4": mail.AuthMechanism, "556 5.1.10": mail.NullMX, "554 5.4.6": mail.RoutingLoop,
	} {
		f := mail.Final(s, "")
		if got := fmt.Sprintf("%d %s", f.Code(), f.Enhanced()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for want, s := range map[string]mail.Status{
		"451 4.3.0": mail.SystemError, "452 4.2.2": mail.MailboxFull, "452 4.5.3": mail.TooManyRecipients, "452 4.3.1": mail.SystemFull,
		"454 4.7.0": mail.AuthTemporary, "421 4.3.2": mail.NotAccepting,
	} {
		f := mail.Temporary(s, "")
		if got := fmt.Sprintf("%d %s", f.Code(), f.Enhanced()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	f := mail.Final(mail.NoSuchMailbox, "There is no such user")
	caused := f.Because(io.ErrUnexpectedEOF)
	if f.Cause != nil || !errors.Is(caused, io.ErrUnexpectedEOF) {
		t.Error("Because changed the fault, or hides the cause")
	}
	if got := caused.Error(); got != "550 5.1.1 There is no such user: unexpected EOF" {
		t.Errorf("%q", got)
	}
	if got := mail.AsFault(fmt.Errorf("rcpt: %w", caused)); got != caused {
		t.Errorf("wrapped: %v", got)
	}
	if mail.AsFault(nil) != nil {
		t.Error("no error is a fault")
	}
	unknown := mail.AsFault(io.EOF)
	if unknown.Class != mail.Transient || unknown.Code() != 451 || unknown.Enhanced() != "4.3.0" || !errors.Is(unknown, io.EOF) {
		t.Errorf("an unknown error became %v", unknown)
	}
}

func TestNotify(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n    mail.Notify
		want [3]bool // success, failure, delay
	}{
		{0, [3]bool{false, true, true}},
		{mail.NotifyNever, [3]bool{}},
		{mail.NotifySuccess, [3]bool{true, false, false}},
		{mail.NotifyFailure | mail.NotifyDelay, [3]bool{false, true, true}},
	} {
		got := [3]bool{c.n.Wants(mail.NotifySuccess), c.n.Wants(mail.NotifyFailure), c.n.Wants(mail.NotifyDelay)}
		if got != c.want {
			t.Errorf("notify %d: %v, want %v", c.n, got, c.want)
		}
	}
}

func TestDoorsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for d := mail.DoorSMTP; d <= mail.DoorCommand; d++ {
		if name := d.String(); name == "unknown" || seen[name] {
			t.Errorf("door %d is %q", d, name)
		}
		seen[d.String()] = true
	}
	if mail.Door(0).String() != "unknown" {
		t.Error("no door has a name")
	}
}
