package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hayauma/hayauma/internal/testkit"
)

// The test holds the temporary folder in a variable of the environment, so it
// cannot run beside others.
func TestDemonstration(t *testing.T) {
	program := testkit.Binary(t)
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	if err := Run(t.Context(), Options{Program: program, Out: &out}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"早馬が参ります", "carol@two.test reads it", "POP3: ", "delivered carol@two.test", "\nOK: two servers"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A program that does not work ends the demonstration with its reason.
func TestDemonstrationThatFails(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho 'no luck' >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err := Run(t.Context(), Options{Program: broken, Out: &out})
	if err == nil || !strings.Contains(err.Error(), "no luck") || !strings.Contains(out.String(), "FAILED") {
		t.Errorf("%v\n%s", err, out.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Options{Program: broken, Out: &out}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestLetterSurvivesAMailProgram(t *testing.T) {
	t.Parallel()
	home := newInstance(&show{}, "one.test", addressOne, ports{})
	l := letter{from: home.user("a"), to: home.user("b"), subject: "早馬", id: "x"}
	if err := l.compose(); err != nil {
		t.Fatal(err)
	}
	if got, err := l.compare(l.text); err != nil || got.size != attachmentSize || got.file != l.file {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := l.compare(append([]byte("Subject: other\r\n"), l.text...)); err == nil {
		t.Error("another subject is taken for the same letter")
	}
}
