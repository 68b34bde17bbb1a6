package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/control"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/dnsx"
)

// How long a command, or a server, waits for the stores while another process
// works on them: commands take a moment, and so do a server's start and end.
const (
	commandPatience = 10 * time.Second
	serverPatience  = 5 * time.Second
	inUsePause      = 50 * time.Millisecond
)

// whileInUse repeats try as long as it fails since another process uses the
// stores, and gives its last error when patience or ctx end.
func whileInUse(ctx context.Context, patience time.Duration, try func() error) error {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		err := try()
		if !errors.Is(err, db.ErrInUse) {
			return err
		}
		select {
		case <-time.After(inUsePause):
		case <-over.C:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

// openWhenFree is open for a server.
func openWhenFree(ctx context.Context, o Options) (a *app, err error) {
	o.serves = true
	err = whileInUse(ctx, serverPatience, func() (err error) {
		a, err = open(ctx, o)
		return err
	})
	return a, err
}

// ErrNoInstallation says that data_dir holds nothing of ours: a folder that is not mounted
// must not pass for a sound installation without mail.
var ErrNoInstallation = errors.New("there is no installation")

// Installed gives ErrNoInstallation unless data_dir has what the engines keep there. What
// no engine keeps there cannot be missed.
func Installed(cfg *config.Config) error {
	path := databasePath(cfg)
	if cfg.Storage.IsPostgres() {
		if cfg.Storage.Bodies != "" {
			return nil
		}
		path = packsPath(cfg)
	}
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w in %s: is it mounted, is data_dir right? 'hayauma serve' or 'hayauma domain add' makes a new one",
			ErrNoInstallation, cfg.DataDir)
	}
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	return nil
}

// Control returns a client of the running server, or, if none runs, of the
// stores opened in this process. While another command uses these, or a server
// is about to start or to end, it waits for up to ten seconds and then gives
// db.ErrInUse. The function closes what was opened.
func Control(ctx context.Context, cfg *config.Config, log *slog.Logger) (c *control.Client, done func() error, err error) {
	path := control.SocketPath(cfg.DataDir)
	err = whileInUse(ctx, commandPatience, func() (err error) {
		if answers(ctx, path) {
			c, done = control.Dial(path), func() error { return nil }
			return nil
		}
		c, done, err = direct(ctx, cfg, log)
		return err
	})
	return c, done, err
}

// direct opens the stores of a stopped server.
func direct(ctx context.Context, cfg *config.Config, log *slog.Logger) (*control.Client, func() error, error) {
	a, err := open(ctx, Options{Config: cfg, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	// What a killed server had under way must be free to be held or deleted,
	// on a full disk above all.
	if _, err := a.queue.Recover(db.WithReserve(ctx)); err != nil {
		return nil, nil, errors.Join(err, a.store.close())
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.intake.Run(work) // for send; the queue itself rests
	}()
	return control.Direct(a.control().Handler()), func() error {
		cancel()
		<-ended
		return a.store.close()
	}, nil
}

// answers tells whether a server listens on its admin socket.
func answers(ctx context.Context, path string) bool {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// Verify checks every checksum and reference of the stores, of a running server
// or a stopped one, and returns the faults that it found; see MaxFaults.
func Verify(ctx context.Context, cfg *config.Config, log *slog.Logger) ([]string, error) {
	if err := Installed(cfg); err != nil {
		return nil, err
	}
	client, done, err := Control(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	faults, err := control.Ask(ctx, client, control.Check, control.Empty{})
	return faults, errors.Join(err, done())
}

// Check validates settings without starting: what can only be known by trying,
// since config.Load has checked the rest. It connects to the engines that the
// settings name, beside a server that runs, puts a resolver that is to be believed
// to the proof, and returns what is allowed there but not wise.
func Check(ctx context.Context, cfg *config.Config) (warnings []string, err error) {
	if err := checkSocketPath(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := writable(cfg.DataDir); err != nil {
		return nil, err
	}
	if warnings, err = checkEngines(ctx, cfg); err != nil {
		return warnings, err
	}
	warnings = append(warnings, tooFewFiles(cfg, openFiles())...)
	warning, err := checkResolver(ctx, cfg.DNS, dnsx.New(resolverOf(cfg.DNS)))
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return warnings, err
}

// proofTimeout bounds the two look-ups of the proof.
const proofTimeout = 10 * time.Second

// resolverOf is the resolver of the settings.
func resolverOf(d config.DNS) dnsx.Options {
	return dnsx.Options{Server: d.Resolver, TrustAD: func() bool { return d.TrustAD }}
}

// checkResolver puts a resolver that is believed to the proof. A proof that cannot be
// made, as without a network, is a warning; and so is a resolver that says nothing, if
// only the system believes it: systemd-resolved has it so where nobody wants DNSSEC, and
// DANE is just not used.
func checkResolver(ctx context.Context, d config.DNS, r *dnsx.Resolver) (warning string, err error) {
	if d.ProofSigned == "" || d.ProofBogus == "" || !r.Trusted() {
		return "", nil
	}
	who, undo := "dns.trust_ad", "remove the line"
	if !d.TrustAD {
		who, undo = `"options trust-ad" in /etc/resolv.conf`, "remove the option there"
	}
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	err = r.Prove(ctx, d.ProofSigned, d.ProofBogus)
	switch {
	case errors.Is(err, dnsx.ErrUntold) && !d.TrustAD:
		return fmt.Sprintf("%s: %v; DANE is not used: for that, name a resolver in dns.resolver that does, and set dns.trust_ad", who, err), nil
	case errors.Is(err, dnsx.ErrNoDNSSEC):
		return "", fmt.Errorf("%s: %w; name one in dns.resolver that does, or %s", who, err, undo)
	case err != nil:
		return fmt.Sprintf("%s: no proof could be made that the resolver checks DNSSEC: %v", who, err), nil
	}
	return "", nil
}

// writable tells whether files can be made in a folder, or the folder itself.
func writable(dir string) error {
	for {
		info, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("data_dir: %s is not a folder", dir)
		}
		break
	}
	f, err := os.CreateTemp(dir, ".hayauma-check-*")
	if err != nil {
		return fmt.Errorf("data_dir: nothing can be written in %s: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
