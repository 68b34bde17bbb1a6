package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hayauma/hayauma/internal/control"
)

// maxSocketPath is how long the path of a socket may be, in octets: one less
// than the system has room for, since a zero ends it.
const maxSocketPath = len(unix.RawSockaddrUnix{}.Path) - 1

// checkSocketPath tells whether the admin socket can be made in data_dir.
func checkSocketPath(dataDir string) error {
	path := control.SocketPath(dataDir)
	if long := len(path) - maxSocketPath; long > 0 {
		return fmt.Errorf("data_dir: the path of the admin socket %s is %d octets too long for this system; choose a folder with a shorter path",
			path, long)
	}
	return nil
}

// serveControl opens the admin socket, for the owner of data_dir alone. Calls may finish
// until grace ends.
func (a *app) serveControl(ctx, grace context.Context) (stop func(), err error) {
	path := control.SocketPath(a.cfg.Load().DataDir)
	l, err := listenPrivately(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	srv := &http.Server{
		Handler: withProfiles(a.control().Handler()), ReadHeaderTimeout: httpReadTimeout,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("admin socket closed", "error", err)
		}
	}()
	return func() {
		if err := os.Remove(path); err != nil {
			a.log.Warn("the admin socket is left behind", "error", err)
		}
		if err := srv.Shutdown(grace); err != nil {
			_ = srv.Close() // the calls that are left are cut off
		}
		<-ended
	}, nil
}

// listenPrivately makes a socket to which nobody else can connect at any time:
// it gets its mode in a folder that is closed to others, and its name only
// then. One that lies there is replaced: by the database's lock it is dead.
func listenPrivately(ctx context.Context, path string) (_ net.Listener, err error) {
	// Together with the name in it no longer than control.sock.
	dir := filepath.Join(filepath.Dir(path), ".control")
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // else the next start does it
	first := filepath.Join(dir, "s")
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", first)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it would be by the first name
	}
	err = os.Chmod(first, 0o600)
	if err == nil {
		err = os.Rename(first, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// withProfiles adds Go's profiles, which only the owner of data_dir may see.
func withProfiles(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
