package power

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Fate decides what of the unsynced survives a loss of power.
type Fate struct {
	rng  *rand.Rand // nil = nothing
	keep float64    // the share of names and pages that survive, roughly
}

// SyncedOnly is a disk that lost all that was not synced.
func SyncedOnly() Fate { return Fate{} }

// SomeUnsynced is a disk that wrote a random part of the rest as well. The same
// random numbers give the same part.
func SomeUnsynced(rng *rand.Rand) Fate { return Fate{rng: rng, keep: rng.Float64()} }

func (f Fate) survives() bool { return f.rng != nil && f.rng.Float64() < f.keep }

// version chooses one of the n+1 states before, between and after n changes.
func (f Fate) version(n int) int {
	if f.rng == nil {
		return 0
	}
	v := 0
	for v < n && f.survives() {
		v++
	}
	if f.rng.IntN(4) == 0 { // now and then far ahead
		v += f.rng.IntN(n - v + 1)
	}
	return v
}

// Rebuild writes the folder as it may be found after the power went at the
// present point of the replay. dir must not exist.
func (d *Disk) Rebuild(dir string, f Fate) error { return d.root.rebuild(dir, f) }

func (i *inode) rebuild(name string, f Fate) error {
	if !i.folder {
		m := i.survivor(f)
		return m.write(name)
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		return err
	}
	names := maps.Clone(i.entries)
	for _, c := range i.renames {
		if f.survives() {
			c.apply(names)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if err := names[n].rebuild(filepath.Join(name, n), f); err != nil {
			return err
		}
	}
	return nil
}

// survivor is the content that a file may have: each page in one of its states,
// cut at one of its sizes.
func (i *inode) survivor(f Fate) image {
	if f.rng == nil || len(i.pending) == 0 {
		return i.durable
	}
	touched := map[int64][]*change{}
	for n := range i.pending {
		c := &i.pending[n]
		if c.data == nil {
			for page := range i.durable.pages {
				touched[page] = append(touched[page], c)
			}
			for page := range touched {
				if _, durable := i.durable.pages[page]; !durable {
					touched[page] = append(touched[page], c)
				}
			}
			continue
		}
		for page := c.off / pageLen; page*pageLen < c.off+int64(len(c.data)); page++ {
			touched[page] = append(touched[page], c)
		}
	}
	m := image{size: i.durable.size, pages: maps.Clone(i.durable.pages)}
	if v := f.version(len(i.pending)); v > 0 {
		m.size = i.pending[v-1].size
	}
	for _, page := range slices.Sorted(maps.Keys(touched)) {
		changes := touched[page]
		for _, c := range changes[:f.version(len(changes))] {
			m.applyTo(page, c)
		}
	}
	return m
}

// write makes the file, with holes for zeros.
func (m *image) write(name string) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, page := range slices.Sorted(maps.Keys(m.pages)) {
		at := page * pageLen
		if at >= m.size {
			break
		}
		data := m.pages[page][:min(pageLen, m.size-at)]
		if _, err := f.WriteAt(data, at); err != nil {
			return err
		}
	}
	if err := f.Truncate(m.size); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
