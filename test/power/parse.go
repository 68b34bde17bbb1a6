package power

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// opKind is what an operation does.
type opKind int

const (
	opOpen     opKind = iota // makes the file if it is not there, cuts it to nothing if size is 0
	opWrite                  // data at off; off = -1: at the place of the descriptor
	opTruncate               // to size
	opGrow                   // to size at least
	opSync                   // of file or folder
	opMkdir
	opRename // to other
	opRemove // of a name
	opSeek   // the descriptor stands at off
)

// op is one operation on the data folder. Names are relative to it, "" is the
// folder itself.
type op struct {
	begin, end int
	kind       opKind
	name       string // for opOpen, opMkdir, opRename, opRemove, opTruncate by name
	other      string
	fd         int // -1 = none
	data       []byte
	off, size  int64
	flags      string
}

// Reply is what the server wrote to a peer. Line is where in the record the
// write began: from there on the peer may have read it.
type Reply struct {
	Line   int
	Socket string // names the connection
	Text   []byte
}

// Record is what a server did, in the order in which its calls returned.
type Record struct {
	Replies []Reply
	Lines   int // how many lines the record has

	ops []op
}

// Operations is how many operations on files the record holds.
func (r *Record) Operations() int { return len(r.ops) }

// LineOf is the line on which an operation returned.
func (r *Record) LineOf(operation int) int { return r.ops[operation].end }

// parser turns calls into operations on the folder root.
type parser struct {
	root string
	rec  *Record
}

// Parse reads what strace recorded and keeps what concerns the folder root, which
// is absolute and without symbolic links. A call on it that the replay cannot
// follow is an error.
func Parse(r io.Reader, root string) (*Record, error) {
	p := &parser{root: path.Clean(root), rec: &Record{}}
	lines, err := scan(r, p.take)
	p.rec.Lines = lines
	return p.rec, err
}

func (p *parser) take(c *call) error {
	if c.failed() {
		return nil
	}
	var err error
	switch c.name {
	case "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto":
		err = p.write(c)
	case "open", "openat", "creat":
		err = p.open(c)
	case "mmap":
		err = p.mmap(c)
	case "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "truncate":
		err = p.names(c)
	case "fsync", "fdatasync", "ftruncate", "fallocate", "lseek":
		err = p.descriptor(c)
	default: // in the folder these would have to be followed
		for _, a := range c.args {
			if _, name, ok := p.file(a); ok && !ignored(name) {
				return fmt.Errorf("%s on %q is not followed", c.name, name)
			}
			if _, ok := p.within(unquoted(a)); ok {
				return fmt.Errorf("%s in the folder is not followed", c.name)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// ignored names what does not outlive the server; see the package comment.
func ignored(name string) bool {
	return strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, ".sock") || path.Base(path.Dir(name)) == ".control"
}

func (p *parser) add(c *call, o op) {
	o.begin, o.end = c.begin, c.end
	p.rec.ops = append(p.rec.ops, o)
}

// within makes an absolute path relative to the folder.
func (p *parser) within(full string) (string, bool) {
	full = path.Clean(full)
	if full == p.root {
		return "", true
	}
	return strings.CutPrefix(full, p.root+"/")
}

// file splits a descriptor like 7</data/file>; ok if it lies in the folder.
func (p *parser) file(arg string) (fd int, name string, ok bool) {
	number, rest, found := strings.Cut(arg, "<")
	fd, err := strconv.Atoi(number)
	if !found || err != nil {
		return -1, "", false
	}
	rest = strings.TrimSuffix(rest, "(deleted)")
	name, ok = p.within(strings.TrimSuffix(rest, ">"))
	return fd, name, ok
}

// path puts a folder descriptor like AT_FDCWD</dir> and a name together.
func (p *parser) path(dir, name string) (string, bool) {
	name = unquoted(name)
	if !path.IsAbs(name) {
		_, base, ok := strings.Cut(dir, "<")
		if !ok {
			return "", false
		}
		name = path.Join(strings.TrimSuffix(base, ">"), name)
	}
	return p.within(name)
}

func unquoted(arg string) string {
	b, err := unquote(arg)
	if err != nil {
		return ""
	}
	return string(b)
}

func (p *parser) open(c *call) error {
	fd, name, ok := p.file(c.result)
	if !ok || ignored(name) {
		return nil
	}
	flags := c.arg(2)
	switch c.name {
	case "open":
		flags = c.arg(1)
	case "creat":
		flags = "O_WRONLY|O_CREAT|O_TRUNC"
	}
	if strings.Contains(flags, "O_TMPFILE") {
		return errors.New("a file without a name is not followed")
	}
	p.add(c, op{kind: opOpen, name: name, fd: fd, flags: flags})
	return nil
}

func (p *parser) write(c *call) error {
	if strings.Contains(c.arg(0), "<socket:") {
		data, err := written(c)
		p.rec.Replies = append(p.rec.Replies, Reply{Line: c.begin, Socket: c.arg(0), Text: data})
		return err
	}
	fd, name, ok := p.file(c.arg(0))
	if !ok || ignored(name) {
		return nil
	}
	data, err := written(c)
	if err != nil {
		return err
	}
	o := op{kind: opWrite, name: name, fd: fd, data: data, off: -1}
	switch c.name {
	case "pwrite64", "pwritev", "pwritev2":
		if o.off, err = strconv.ParseInt(c.arg(3), 10, 64); err != nil {
			return fmt.Errorf("no offset: %w", err)
		}
	}
	p.add(c, o)
	return nil
}

// written returns what a call wrote: as much of its buffers as its result says.
func written(c *call) ([]byte, error) {
	var data []byte
	if !strings.Contains(c.name, "v") {
		var err error
		if data, err = unquote(c.arg(1)); err != nil {
			return nil, err
		}
	} else {
		const base = "iov_base="
		for rest := c.arg(1); ; {
			_, after, ok := strings.Cut(rest, base)
			if !ok {
				break
			}
			n := quotedLen(after)
			if n == 0 {
				return nil, errors.New("a vector without its bytes")
			}
			part, err := unquote(after[:n])
			if err != nil {
				return nil, err
			}
			data, rest = append(data, part...), after[n:]
		}
	}
	n, err := strconv.Atoi(c.result)
	if err != nil || n > len(data) {
		return nil, fmt.Errorf("%d bytes seen of a write with the result %q", len(data), c.result)
	}
	return data[:n], nil
}

// mmap refuses shared writable memory of a file whose content matters.
func (p *parser) mmap(c *call) error {
	_, name, ok := p.file(c.arg(4))
	flags := strings.Split(c.arg(3), "|")
	if !ok || ignored(name) || !strings.Contains(c.arg(2), "PROT_WRITE") || slices.Contains(flags, "MAP_PRIVATE") {
		return nil
	}
	return fmt.Errorf("shared memory of %q is not followed", name)
}

func (p *parser) names(c *call) error {
	dir, name := "", c.arg(0)
	other := [2]string{"", c.arg(1)}
	if strings.HasSuffix(c.name, "at") || c.name == "renameat2" {
		dir, name = c.arg(0), c.arg(1)
		other = [2]string{c.arg(2), c.arg(3)}
	}
	at, ok := p.path(dir, name)
	if ignored(at) {
		return nil
	}
	switch c.name {
	case "rename", "renameat", "renameat2":
		to, inside := p.path(other[0], other[1])
		switch {
		case !ok && !inside:
			return nil
		case !ok || !inside || path.Dir(at) != path.Dir(to) || c.name == "renameat2" && c.arg(4) != "0":
			return errors.New("a name that leaves its folder is not followed")
		}
		p.add(c, op{kind: opRename, name: at, other: to, fd: -1})
		return nil
	}
	if !ok {
		return nil
	}
	switch c.name {
	case "mkdir", "mkdirat":
		p.add(c, op{kind: opMkdir, name: at, fd: -1})
	case "truncate":
		size, err := strconv.ParseInt(c.arg(1), 10, 64)
		p.add(c, op{kind: opTruncate, name: at, fd: -1, size: size})
		return err
	default:
		p.add(c, op{kind: opRemove, name: at, fd: -1})
	}
	return nil
}

func (p *parser) descriptor(c *call) error {
	fd, name, ok := p.file(c.arg(0))
	if !ok || ignored(name) {
		return nil
	}
	o := op{name: name, fd: fd}
	var err error
	switch c.name {
	case "fsync", "fdatasync":
		o.kind = opSync
	case "ftruncate":
		o.kind = opTruncate
		o.size, err = strconv.ParseInt(c.arg(1), 10, 64)
	case "lseek":
		o.kind = opSeek
		o.off, err = strconv.ParseInt(c.result, 10, 64)
	case "fallocate":
		if c.arg(1) == "FALLOC_FL_KEEP_SIZE" {
			return nil
		}
		if c.arg(1) != "0" {
			return errors.New("holes are not followed")
		}
		var from, length int64
		from, err = strconv.ParseInt(c.arg(2), 10, 64)
		if err == nil {
			length, err = strconv.ParseInt(c.arg(3), 10, 64)
		}
		o.kind, o.size = opGrow, from+length
	}
	p.add(c, o)
	return err
}
