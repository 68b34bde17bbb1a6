package config

import (
	"errors"
	"path/filepath"
	"slices"
)

// Despite reads the settings as Load does, but forgives what is wrong with all but some
// keys: who only has to find a server that runs needs no more of them. Settings that are
// wrong have their defaults.
func Despite(path string, needed ...string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	c, problems := decode(path, data)
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	c.resolve(dir)
	for _, err := range problems {
		p, wrong := errors.AsType[*Problem](err)
		u, unknown := errors.AsType[*UnknownKey](err)
		if !wrong && !unknown || wrong && slices.Contains(needed, p.Key) || unknown && slices.Contains(needed, u.Nearest) {
			return nil, err
		}
	}
	return c, nil
}
