package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// alloc is what one function of ours allocates for each message, with what it calls
// of others.
type alloc struct {
	Site  string  `json:"site"`
	Count float64 `json:"count"`
	Bytes float64 `json:"bytes"`
}

// allocs sends messages to a server that counts every allocation, which slows it.
func (h *hayaumaRows) allocs(ctx context.Context, dir string) (*Result, error) {
	s, stop, err := h.start(ctx, dir, hayaumaSetup{hold: true, env: []string{"GODEBUG=memprofilerate=1"}})
	if err != nil {
		return nil, err
	}
	defer stop()
	src := h.to(s.smtp, remoteDomain, 4000)
	warm := src
	warm.Messages = h.warm()
	if _, err := sendAll(ctx, warm); err != nil {
		return nil, fmt.Errorf("warm-up: %w", err)
	}
	before, err := s.allocated(ctx)
	if err != nil {
		return nil, err
	}
	res, err := sendAll(ctx, src)
	if err != nil {
		return nil, err
	}
	after, err := s.allocated(ctx)
	if err != nil {
		return nil, err
	}
	n := float64(res.Messages)
	for site, a := range after {
		a.Count, a.Bytes = (a.Count-before[site].Count)/n, (a.Bytes-before[site].Bytes)/n
		if a.Count > 0 {
			res.Allocs = append(res.Allocs, a)
		}
	}
	slices.SortFunc(res.Allocs, func(a, b alloc) int { return -compare(a.Count, b.Count, a.Site, b.Site) })
	return res, nil
}

// debug reads a page of the server's admin socket.
func (h *hayauma) debug(ctx context.Context, page string) ([]byte, error) {
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return Target{Network: "unix", Address: filepath.Join(h.data, "control.sock")}.Dial(ctx, startLimit)
	}}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hayauma/debug/pprof/"+page, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", page, resp.Status)
	}
	return body, nil
}

// allocated is what was allocated so far. The profile is complete up to the last
// collection but one.
func (h *hayauma) allocated(ctx context.Context) (map[string]alloc, error) {
	for range 2 {
		if _, err := h.debug(ctx, "heap?gc=1"); err != nil {
			return nil, err
		}
	}
	raw, err := h.debug(ctx, "allocs?debug=1")
	if err != nil {
		return nil, err
	}
	return parseAllocs(string(raw)), nil
}

// modulePath is what the names of our functions begin with.
const modulePath = "github.com/hayauma/hayauma/"

// parseAllocs sums the records of Go's profile in text form by the first function
// of ours in each stack. What serves the profile itself is left out.
//
//	0: 0 [3: 96] @ 0x1 0x2
//	#	0x1	strings.Clone+0x1	/usr/local/go/src/strings/clone.go:23
//	#	0x2	github.com/hayauma/hayauma/internal/smtpd.data+0x2	/x/data.go:9
func parseAllocs(text string) map[string]alloc {
	sums := map[string]alloc{}
	var at alloc
	var stack []string
	done := func() {
		if at.Site = siteOf(stack); at.Site != "" {
			sum := sums[at.Site]
			sums[at.Site] = alloc{Site: at.Site, Count: sum.Count + at.Count, Bytes: sum.Bytes + at.Bytes}
		}
		at, stack = alloc{}, nil
	}
	for line := range strings.Lines(text) {
		var live, octets, count, bytes int64
		if n, _ := fmt.Sscanf(line, "%d: %d [%d: %d] @", &live, &octets, &count, &bytes); n == 4 {
			done()
			at = alloc{Count: float64(count), Bytes: float64(bytes)}
			continue
		}
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "#" && strings.HasPrefix(f[1], "0x") {
			name, _, _ := strings.Cut(f[2], "+0x")
			stack = append(stack, name)
		}
	}
	done()
	return sums
}

// siteOf names a stack; empty if it is none, or that of the profile.
func siteOf(stack []string) string {
	if slices.ContainsFunc(stack, func(f string) bool { return strings.HasPrefix(f, "net/http/pprof.") }) {
		return ""
	}
	for _, f := range stack {
		if name, ok := strings.CutPrefix(f, modulePath); ok {
			return strings.TrimPrefix(name, "internal/")
		}
	}
	if len(stack) == 0 {
		return ""
	}
	return "(" + stack[len(stack)-1] + ")"
}

func (b *bench) profileMissing() string {
	if b.profiles == "" {
		return "no folder for it: see -profiles"
	}
	return ""
}

// profileFor is how long the profile is taken; the messages last longer.
const profileFor = 4 * time.Second

// profile leaves the CPU profile of accepting in a file.
func (h *hayaumaRows) profile(ctx context.Context, dir string) (*Result, error) {
	s, stop, err := h.start(ctx, dir, hayaumaSetup{hold: true})
	if err != nil {
		return nil, err
	}
	defer stop()
	type taken struct {
		raw []byte
		err error
	}
	done := make(chan taken, 1)
	go func() {
		raw, err := s.debug(ctx, fmt.Sprintf("profile?seconds=%.0f", profileFor.Seconds()))
		done <- taken{raw, err}
	}()
	res, err := sendAll(ctx, h.to(s.smtp, remoteDomain, 40000))
	if err != nil {
		return nil, err
	}
	cpu := <-done
	if cpu.err != nil {
		return nil, cpu.err
	}
	if err := os.MkdirAll(h.profiles, 0o755); err != nil {
		return nil, err
	}
	return res, os.WriteFile(filepath.Join(h.profiles, "cpu.pprof"), cpu.raw, 0o644)
}
