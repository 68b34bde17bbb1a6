// Command mutants plants each known fault in a copy of the tree and sees that its proof turns red.
//
// Run it in the root of the module: go run ./test/mutants [NAME...]. A fault is a
// patch in test/mutants with two lines at its head: "Fault: " says what it does,
// "Proof: " is the go test command that must fail. A patch that does not apply or
// compile, and a proof that fails without any patch, are failures of the run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

const (
	folder = "test/mutants"
	// proofLimit is for one proof, the build of the changed packages included.
	proofLimit = 3 * time.Minute
	// cuts is enough for the proof of power loss to see a sync that is missing.
	cuts = "40"
)

// mutant is one patch.
type mutant struct {
	name, fault string
	proof       []string // a go command without "go"
	patch       string   // absolute path
}

func run(ctx context.Context, names []string, out io.Writer) (err error) {
	all, err := mutants(".", names)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hayauma-mutants-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := copyTree(ctx, ".", dir); err != nil {
		return fmt.Errorf("copy the tree: %w", err)
	}
	if err := healthy(ctx, dir, all, out); err != nil {
		return err
	}
	caught := 0
	for _, m := range all {
		began := time.Now()
		verdict := m.plant(ctx, dir)
		if verdict == nil {
			caught++
			_, err = fmt.Fprintf(out, "caught  %-20s %s (%.0f s)\n", m.name, m.fault, time.Since(began).Seconds())
		} else {
			_, err = fmt.Fprintf(out, "MISSED  %-20s %s: %v\n", m.name, m.fault, verdict)
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	if _, err := fmt.Fprintf(out, "%d mutants, %d caught\n", len(all), caught); err != nil {
		return err
	}
	if caught < len(all) {
		return fmt.Errorf("%d faults go unnoticed", len(all)-caught)
	}
	return nil
}

// mutants reads the patches of a tree, only those named if any are.
func mutants(root string, names []string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(root, folder, "*.patch"))
	if err != nil {
		return nil, err
	}
	var all []mutant
	for _, path := range paths {
		m := mutant{name: strings.TrimSuffix(filepath.Base(path), ".patch")}
		if len(names) > 0 && !slices.Contains(names, m.name) {
			continue
		}
		if m.patch, err = filepath.Abs(path); err != nil {
			return nil, err
		}
		if err := m.read(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, m)
	}
	if len(all) == 0 || len(names) > 0 && len(all) != len(names) {
		return nil, fmt.Errorf("%d mutants found in %s", len(all), folder)
	}
	return all, nil
}

func (m *mutant) read() error {
	text, err := os.ReadFile(m.patch)
	if err != nil {
		return err
	}
	head, _, _ := strings.Cut(string(text), "\n--- ")
	for line := range strings.Lines(head) {
		if fault, ok := strings.CutPrefix(line, "Fault: "); ok {
			m.fault = strings.TrimSpace(fault)
		}
		if proof, ok := strings.CutPrefix(line, "Proof: go test "); ok {
			m.proof = append([]string{"test"}, strings.Fields(proof)...)
		}
	}
	if m.fault == "" || m.proof == nil {
		return errors.New("the head lacks its line \"Fault: ...\" or \"Proof: go test ...\"")
	}
	return nil
}

// copyTree copies what git knows or would add.
func copyTree(ctx context.Context, from, to string) error {
	out, err := command(ctx, from, "git", "ls-files", "-z", "-c", "-o", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted and not yet committed
		}
		if err != nil {
			return err
		}
		path := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// healthy runs each proof once without a fault.
func healthy(ctx context.Context, dir string, all []mutant, out io.Writer) error {
	done := map[string]bool{}
	for _, m := range all {
		proof := strings.Join(m.proof, " ")
		if done[proof] {
			continue
		}
		done[proof] = true
		if text, err := m.prove(ctx, dir); err != nil {
			return fmt.Errorf("go %s fails without any fault: %w\n%s", proof, err, tail(text))
		}
		if _, err := fmt.Fprintf(out, "green   go %s\n", proof); err != nil {
			return err
		}
	}
	return nil
}

// plant applies the patch, runs the proof and takes the patch back. It returns
// nil if the proof saw the fault.
func (m *mutant) plant(ctx context.Context, dir string) (err error) {
	if text, err := command(ctx, dir, "git", "apply", m.patch); err != nil {
		return fmt.Errorf("the patch does not apply: %w\n%s", err, text)
	}
	defer func() {
		_, back := command(context.WithoutCancel(ctx), dir, "git", "apply", "-R", m.patch)
		err = errors.Join(err, back)
	}()
	if text, err := command(ctx, dir, "go", "build", "./..."); err != nil {
		return fmt.Errorf("the mutant does not compile: %w\n%s", err, text)
	}
	text, err := m.prove(ctx, dir)
	switch {
	case err == nil:
		return errors.New("its proof stays green")
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.Contains(text, "[build failed]"), strings.Contains(text, "[setup failed]"), strings.Contains(text, "build hayauma:"):
		return fmt.Errorf("its proof does not compile\n%s", tail(text))
	case !strings.Contains(text, "--- FAIL: "):
		return fmt.Errorf("its proof ended without a verdict: %w\n%s", err, tail(text))
	}
	return nil
}

func (m *mutant) prove(ctx context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, proofLimit)
	defer cancel()
	return command(ctx, dir, "go", m.proof...)
}

// command runs a program in a folder that no repository is above of, so that git
// takes it as it is, and tests build their own binary from it.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HAYAUMA_BIN=", "HAYAUMA_CUTS="+cuts, "CI=true", "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tail is the end of an output.
func tail(text string) string {
	const most = 2000
	return text[max(0, len(text)-most):]
}
