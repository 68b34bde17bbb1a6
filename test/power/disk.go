package power

import (
	"fmt"
	"path"
	"strings"
)

// pageLen is what a disk writes whole or not at all.
const pageLen = 4096

// inode is a file or a folder: what is durable, and what happened since.
type inode struct {
	durable image
	pending []change
	size    int64 // as the server sees it

	folder  bool
	entries map[string]*inode // durable names
	renames []entryChange     // since
	live    map[string]*inode // as the server sees them
}

// image is the content of a file: pages that are not all zero, and the size.
type image struct {
	size  int64
	pages map[int64][]byte
}

// change is a write or a new size. data nil = a new size; else size is the least
// size after it.
type change struct {
	end  int // the line on which it returned
	off  int64
	data []byte
	size int64
}

// entryChange is a change of the names in a folder, done as a whole.
type entryChange struct {
	end      int
	from, to string // from empty = only a new name; to empty = only a name less
	ino      *inode // of to
}

// descriptor is an open file.
type descriptor struct {
	ino    *inode
	off    int64
	append bool
}

// Disk is the state of a folder while a record is replayed.
type Disk struct {
	root *inode
	fds  map[int]*descriptor
	ops  []op
	next int
}

// NewDisk starts a replay. The folder is empty, and durable.
func NewDisk(r *Record) *Disk {
	return &Disk{root: newFolder(), fds: map[int]*descriptor{}, ops: r.ops}
}

func newFolder() *inode {
	return &inode{folder: true, entries: map[string]*inode{}, live: map[string]*inode{}}
}

func newFile() *inode { return &inode{durable: image{pages: map[int64][]byte{}}} }

// Advance replays all that had returned by a line of the record.
func (d *Disk) Advance(line int) error {
	for d.next < len(d.ops) && d.ops[d.next].end <= line {
		o := &d.ops[d.next]
		if err := d.apply(o); err != nil {
			return fmt.Errorf("record, line %d: %w", o.end, err)
		}
		d.next++
	}
	return nil
}

// find returns what a name stands for now, nil if nothing.
func (d *Disk) find(name string) *inode {
	at := d.root
	for part := range strings.SplitSeq(name, "/") {
		if part == "" {
			continue
		}
		if at == nil || !at.folder {
			return nil
		}
		at = at.live[part]
	}
	return at
}

// parent returns the folder that a name stands in, and its last part.
func (d *Disk) parent(name string) (*inode, string, error) {
	dir, base := path.Split(name)
	folder := d.find(dir)
	if folder == nil || !folder.folder {
		return nil, "", fmt.Errorf("%q: its folder is not known", name)
	}
	return folder, base, nil
}

func (d *Disk) apply(o *op) error {
	switch o.kind {
	case opOpen:
		return d.open(o)
	case opWrite:
		return d.write(o)
	case opTruncate, opGrow, opSync, opSeek:
		return d.onFile(o)
	case opMkdir, opRename, opRemove:
		return d.onName(o)
	}
	return fmt.Errorf("unknown operation %d", o.kind)
}

func (d *Disk) open(o *op) error {
	ino := d.find(o.name)
	if ino == nil {
		if !strings.Contains(o.flags, "O_CREAT") {
			return fmt.Errorf("open %q: not known", o.name)
		}
		folder, base, err := d.parent(o.name)
		if err != nil {
			return err
		}
		ino = newFile()
		folder.rename(entryChange{end: o.end, to: base, ino: ino})
	}
	if strings.Contains(o.flags, "O_TRUNC") && ino.size > 0 {
		ino.change(change{end: o.end, size: 0})
	}
	d.fds[o.fd] = &descriptor{ino: ino, append: strings.Contains(o.flags, "O_APPEND")}
	return nil
}

// at returns the open file that an operation names.
func (d *Disk) at(o *op) (*descriptor, error) {
	fd := d.fds[o.fd]
	if fd == nil {
		return nil, fmt.Errorf("%q: descriptor %d is not known", o.name, o.fd)
	}
	return fd, nil
}

func (d *Disk) write(o *op) error {
	fd, err := d.at(o)
	if err != nil {
		return err
	}
	if fd.ino.folder {
		return fmt.Errorf("%q: written to, but a folder", o.name)
	}
	off := o.off
	if off < 0 {
		if off = fd.off; fd.append {
			off = fd.ino.size
		}
		fd.off = off + int64(len(o.data))
	}
	fd.ino.change(change{end: o.end, off: off, data: o.data, size: max(fd.ino.size, off+int64(len(o.data)))})
	return nil
}

func (d *Disk) onFile(o *op) error {
	if o.fd < 0 {
		ino := d.find(o.name)
		if ino == nil || ino.folder || o.size < 0 {
			return fmt.Errorf("%q: cannot be cut to %d", o.name, o.size)
		}
		ino.change(change{end: o.end, size: o.size})
		return nil
	}
	fd, err := d.at(o)
	if err != nil {
		return err
	}
	if fd.ino.folder && o.kind != opSync && o.kind != opSeek || o.size < 0 {
		return fmt.Errorf("%q: cannot have the size %d", o.name, o.size)
	}
	switch o.kind {
	case opTruncate:
		fd.ino.change(change{end: o.end, size: o.size})
	case opGrow:
		if o.size > fd.ino.size {
			fd.ino.change(change{end: o.end, size: o.size})
		}
	case opSync:
		fd.ino.sync(o.begin)
	default:
		fd.off = o.off
	}
	return nil
}

func (d *Disk) onName(o *op) error {
	folder, base, err := d.parent(o.name)
	if err != nil {
		return err
	}
	ino := folder.live[base]
	switch {
	case o.kind == opMkdir:
		folder.rename(entryChange{end: o.end, to: base, ino: newFolder()})
	case ino == nil:
		return fmt.Errorf("%q: not known", o.name)
	case o.kind == opRename:
		folder.rename(entryChange{end: o.end, from: base, to: path.Base(o.other), ino: ino})
	default:
		folder.rename(entryChange{end: o.end, from: base, ino: ino})
	}
	return nil
}

func (i *inode) change(c change) {
	i.size = c.size
	i.pending = append(i.pending, c)
}

func (i *inode) rename(c entryChange) {
	c.apply(i.live)
	i.renames = append(i.renames, c)
}

func (c *entryChange) apply(names map[string]*inode) {
	if c.from != "" && names[c.from] == c.ino {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.ino
	}
}

// sync makes durable what had returned before the line on which the sync began.
func (i *inode) sync(begin int) {
	n := 0
	for n < len(i.pending) && i.pending[n].end < begin {
		i.durable.apply(&i.pending[n])
		n++
	}
	i.pending = i.pending[n:]
	n = 0
	for n < len(i.renames) && i.renames[n].end < begin {
		i.renames[n].apply(i.entries)
		n++
	}
	i.renames = i.renames[n:]
}

// apply does all of a change.
func (m *image) apply(c *change) {
	if c.data == nil {
		for page := range m.pages {
			m.applyTo(page, c)
		}
	} else {
		for page := c.off / pageLen; page*pageLen < c.off+int64(len(c.data)); page++ {
			m.applyTo(page, c)
		}
	}
	m.size = c.size
}

// applyTo does a change's part in one page. It never writes into a page that
// another image may hold.
func (m *image) applyTo(page int64, c *change) {
	start := page * pageLen
	old := m.pages[page]
	if c.data == nil {
		if old == nil || start+pageLen <= c.size {
			return
		}
		delete(m.pages, page)
		if start < c.size {
			m.set(page, append([]byte(nil), old[:c.size-start]...))
		}
		return
	}
	fresh := make([]byte, pageLen)
	copy(fresh, old)
	if c.off >= start {
		copy(fresh[c.off-start:], c.data)
	} else {
		copy(fresh, c.data[start-c.off:])
	}
	m.set(page, fresh)
}

// set keeps a page unless it is all zeros.
func (m *image) set(page int64, data []byte) {
	if isZero(data) {
		delete(m.pages, page)
		return
	}
	if len(data) < pageLen {
		data = append(data, make([]byte, pageLen-len(data))...)
	}
	m.pages[page] = data
}

func isZero(data []byte) bool {
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}
