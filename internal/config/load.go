package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// maxFileSize bounds the configuration file, so that a wrong path given (a mail
// archive, a device) cannot fill the memory.
const maxFileSize = 1 << 20

// Load reads and validates the file at path. Relative file names in it start at
// its folder. The error joins every problem found, each a *Problem, an
// *UnknownKey or one about the file itself.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c, problems := decode(path, data)
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: find its folder: %w", path, err)
	}
	c.resolve(dir)
	return c.finish(problems, append(c.check(), c.checkFiles()...))
}

// Parse is Load for bytes: it opens no file and leaves relative names alone.
// name stands for the file in errors.
func Parse(name string, data []byte) (*Config, error) {
	c, problems := decode(name, data)
	return c.finish(problems, c.check())
}

// finish joins the problems of form with those of meaning, but tells only the
// first kind of a key that has both.
func (c *Config) finish(form []error, meaning []*Problem) (*Config, error) {
	told := map[string]bool{}
	for _, err := range form {
		p, ok := errors.AsType[*Problem](err)
		if ok {
			told[p.Key] = true
		}
		_, isUnknown := errors.AsType[*UnknownKey](err)
		if !ok && !isUnknown {
			return nil, err // not TOML at all: nothing else is worth telling
		}
	}
	all := form
	for _, p := range meaning {
		if !told[p.Key] {
			all = append(all, p)
		}
	}
	if len(all) > 0 {
		return nil, errors.Join(all...)
	}
	c.DNS.Resolver = withPort(c.DNS.Resolver, "53")
	return c, nil
}

// resolve makes relative file names absolute, starting at dir.
func (c *Config) resolve(dir string) {
	for _, p := range []*string{&c.DataDir, &c.TLS.CertFile, &c.TLS.KeyFile, &c.Auth.ClientCA,
		&c.Outbound.SmartHostPasswordFile, &c.Outbound.ProxyPasswordFile, &c.Storage.DatabasePasswordFile, &c.Storage.BodiesKeyFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

// readFile reads a file of bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w; name the file with --config", err)
	}
	defer func() { _ = f.Close() }() // only read from: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("configuration: %s is larger than %d bytes; name the right file with --config", path, maxFileSize)
	}
	return data, nil
}

// Find returns the file to load: given (the value of --config) if not empty,
// else the first that exists of ./hayauma.toml and /etc/hayauma/hayauma.toml.
func Find(given string) (string, error) {
	return find(given, []string{"hayauma.toml", "/etc/hayauma/hayauma.toml"})
}

func find(given string, places []string) (string, error) {
	if given != "" {
		return given, nil
	}
	for _, p := range places {
		// A file that is there but cannot be read is the one meant: Load tells
		// why it fails, instead of another file being taken silently.
		if _, err := os.Stat(p); !errors.Is(err, os.ErrNotExist) {
			return p, nil
		}
	}
	return "", fmt.Errorf("configuration: none found at %s; name the file with --config", strings.Join(places, " or "))
}

// SmartHostPassword reads the first line of smart_host_password_file.
func (o Outbound) SmartHostPassword() (string, error) {
	data, err := readFile(o.SmartHostPasswordFile)
	if err != nil {
		return "", fmt.Errorf("smart host password: %w", err)
	}
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("smart host password: the first line of %s is empty", o.SmartHostPasswordFile)
	}
	return line, nil
}

// ProxyPassword reads the first line of proxy_password_file, "" if there is none.
func (o Outbound) ProxyPassword() (string, error) {
	if o.ProxyPasswordFile == "" {
		return "", nil
	}
	lines, err := secretLines(o.ProxyPasswordFile, 1)
	if err != nil {
		return "", fmt.Errorf("password of the proxy: %w", err)
	}
	return lines[0], nil
}

// SlogLevel is the level as log/slog knows it. Load has checked its name.
func (l Log) SlogLevel() slog.Level {
	var level slog.Level
	// An unknown name, which Load refuses, leaves the default: info.
	_ = level.UnmarshalText([]byte(l.Level))
	return level
}
