package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/blob"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

const (
	recoverSlice = 1000
	// maxDamages is how many damages an error lists.
	maxDamages = 5
)

// recovery is what a start finds. It is gathered first, without a change, and
// acted on only when rows and files fit together.
type recovery struct {
	s       *Store
	lastID  int64
	upTo    int64     // packs above are not looked at, 0 = all are
	seal    []packEnd // written to until the process ended
	empty   []int64   // sealed now and without a body
	gone    []int64   // only to be removed
	strays  []string  // files that never got a row
	kept    []string  // files without a row that hold bodies
	damages []string

	packs, verified, dropped, large int
	cut                             int64
}

type packEnd struct{ id, end int64 }

// recover brings rows and files together after the last end, however it came,
// and starts a new active pack.
func (s *Store) recover(ctx context.Context) error {
	began := time.Now()
	r := &recovery{s: s}
	rows, err := s.packRows(ctx)
	if err != nil {
		return err
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	for _, find := range []func() error{
		func() error { return r.inspectRows(ctx, rows, files) },
		func() error { return r.inspectUnknown(ctx, rows, files) },
		func() error { return r.inspectLarge(ctx) },
	} {
		if err := find(); err != nil {
			return err
		}
	}
	if err := r.verdict(); err != nil {
		return err
	}
	if err := r.act(ctx); err != nil {
		return err
	}
	s.log.Info("body store recovered",
		"packs", r.packs, "bodies_verified", r.verified, "unrecorded_bodies_dropped", r.dropped,
		"octets_cut", r.cut, "large_files_removed", r.large, "empty_packs_removed", len(r.gone)+len(r.empty),
		"damages_accepted", len(r.damages), "took", time.Since(began))
	return nil
}

// files lists the packs in the folder by number.
func (r *recovery) files() (map[int64]string, error) {
	names, err := r.s.disk.list("packs")
	if err != nil {
		return nil, err
	}
	files := map[int64]string{}
	for _, name := range names {
		id, err := strconv.ParseInt(strings.TrimSuffix(name, ".pack"), 10, 64)
		if err != nil || packName(id) != "packs/"+name {
			continue // not ours
		}
		files[id] = "packs/" + name
		r.lastID = max(r.lastID, id)
	}
	return files, nil
}

func (r *recovery) damage(format string, args ...any) {
	r.damages = append(r.damages, fmt.Sprintf(format, args...))
}

// inspectRows compares each pack's row with its file and its bodies' rows.
func (r *recovery) inspectRows(ctx context.Context, rows []packRow, files map[int64]string) error {
	for _, p := range rows {
		r.lastID = max(r.lastID, p.id)
		if p.state == packGone {
			r.gone = append(r.gone, p.id)
			continue
		}
		r.packs++
		last, err := r.s.bodyQuery(ctx, "SELECT id, pack, start, length, size FROM body WHERE pack = ? ORDER BY start DESC LIMIT 1", p.id)
		if err != nil {
			return err
		}
		if files[p.id] == "" {
			if len(last) > 0 {
				r.damage("%s is missing but holds bodies", packName(p.id))
			} else {
				r.gone = append(r.gone, p.id)
			}
			continue
		}
		if err := r.inspectPack(ctx, p, last); err != nil {
			return fmt.Errorf("inspect %s: %w", packName(p.id), err)
		}
	}
	return nil
}

// inspectPack looks at one pack, and if it was written to at the tail behind its
// mark. last is the row of its last body, if it has one.
func (r *recovery) inspectPack(ctx context.Context, p packRow, last []bodyRow) error {
	f, err := r.s.files.get(p.id)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	end := int64(packHeadLen)
	if len(last) > 0 {
		if written := last[0].start + last[0].length; written > size {
			r.damage("%s has %d octets but its bodies need %d", packName(p.id), size, written)
			return nil
		}
		end = align(last[0].start + last[0].length)
	}
	if p.state != packOpen {
		return nil
	}
	if err := r.verifyTail(ctx, f, p); err != nil {
		return err
	}
	if len(last) == 0 {
		r.empty = append(r.empty, p.id)
	}
	r.seal = append(r.seal, packEnd{p.id, end})
	r.dropped += r.countEntries(f, p.id, end)
	r.cut += max(0, size-end)
	return nil
}

// verifyTail reads the bodies behind the mark of a pack that was written to.
func (r *recovery) verifyTail(ctx context.Context, f file, p packRow) error {
	head := make([]byte, packHeadLen)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := checkPackHead(r.s.sums, head, p.id); err != nil {
		r.damage("%s: %v", packName(p.id), err)
		return nil
	}
	for from := p.mark; ; {
		rows, err := r.s.bodiesOf(ctx, p.id, from, recoverSlice)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, b := range rows {
			from = b.start + 1
			_, buf, err := r.s.readBody(b.id, b.place)
			if errors.Is(err, blob.ErrCorrupt) {
				r.damage("body %s: %v", b.id, err)
				continue
			}
			if err != nil {
				return err
			}
			r.s.pools.give(buf)
			r.verified++
		}
	}
}

// countEntries counts the entries that follow one another from a place. Nobody
// was told about them.
func (r *recovery) countEntries(f file, pack, at int64) int {
	head := make([]byte, entryLen)
	for n := 0; ; n++ {
		if _, err := f.ReadAt(head, at); err != nil {
			return n
		}
		e, err := r.s.sums.readEntry(head, pack, at)
		if err != nil {
			return n
		}
		at += align(entryLen + e.Stored)
	}
}

// inspectUnknown looks for packs that only files or only bodies' rows know.
func (r *recovery) inspectUnknown(ctx context.Context, rows []packRow, files map[int64]string) error {
	known := map[int64]bool{}
	for _, p := range rows {
		known[p.id] = p.state != packGone
		delete(files, p.id)
	}
	for _, id := range slices.Sorted(maps.Keys(files)) {
		f, err := r.s.files.get(id)
		if err != nil {
			return err
		}
		// A pack is used only once its row is durable.
		if r.countEntries(f, id, packHeadLen) > 0 {
			r.kept = append(r.kept, files[id])
		} else {
			r.s.files.drop(id)
			r.strays = append(r.strays, files[id])
		}
	}
	for last := int64(0); ; {
		var next []int64
		err := r.s.db.Read(ctx, func(tx *db.Tx) error {
			next = nil
			rows, err := tx.Query(db.SQL("SELECT pack FROM body WHERE pack > ? ORDER BY pack LIMIT 1"), last)
			if err != nil {
				return err
			}
			return db.Each(rows, func(row db.Rows) error {
				var id int64
				err := row.Scan(&id)
				next = append(next, id)
				return err
			})
		})
		if err != nil || len(next) == 0 {
			return err
		}
		last = next[0]
		if r.upTo > 0 && last > r.upTo {
			return nil
		}
		if !known[last] {
			r.damage("bodies lie in pack %d, which the database does not list", last)
		}
	}
}

// inspectLarge compares the large files with their rows, both in order of ids.
func (r *recovery) inspectLarge(ctx context.Context) error {
	names, err := r.s.disk.list("large")
	if err != nil {
		return err
	}
	var ids []mail.ID
	for _, name := range names {
		if id, err := mail.ParseID(name); err == nil && id.String() == name {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var last mail.ID
	for {
		rows, err := r.s.largeAfter(ctx, last, recoverSlice)
		if err != nil {
			return err
		}
		for _, b := range rows {
			for len(ids) > 0 && ids[0] < b.id {
				r.stray(ids[0])
				ids = ids[1:]
			}
			if len(ids) == 0 || ids[0] != b.id {
				r.damage("%s is missing", largeName(b.id))
			} else {
				ids = ids[1:]
			}
			last = b.id
		}
		if len(rows) < recoverSlice {
			break
		}
	}
	for _, id := range ids {
		r.stray(id)
	}
	return nil
}

func (r *recovery) stray(id mail.ID) {
	r.large++
	r.strays = append(r.strays, largeName(id))
}

// verdict refuses to go on where rows and files do not fit together.
func (r *recovery) verdict() error {
	for _, name := range r.kept {
		r.damage("%s holds bodies but the database does not list it", name)
	}
	if len(r.damages) == 0 {
		return nil
	}
	shown := strings.Join(r.damages[:min(len(r.damages), maxDamages)], "; ")
	if r.s.opt.AcceptDamage {
		r.s.log.Error("body store starts in spite of damage", "count", len(r.damages), "damages", shown)
		r.strays = nil // the database may be an older one: remove nothing
		return nil
	}
	return fmt.Errorf("files and database do not fit together (%d findings): %s; "+
		"restore the folder and the database from the same backup, or put the named files back; nothing was changed",
		len(r.damages), shown)
}

// act seals what was written to, starts a new pack and removes what is left over.
// The new pack comes first: the highest number ever used always keeps a row.
func (r *recovery) act(ctx context.Context) error {
	s := r.s
	for _, p := range r.seal {
		if err := r.sealAfterCrash(ctx, p); err != nil {
			return fmt.Errorf("seal %s: %w", packName(p.id), err)
		}
	}
	s.keep.lastID = r.lastID
	// It gets its zeros with the first body: a command on a stopped server
	// writes none.
	cur, err := s.keep.create(packHeadLen)
	if err != nil {
		return fmt.Errorf("start a new pack: %w", err)
	}
	s.keep.cur = cur
	for _, name := range r.strays {
		if err := s.disk.remove(name); err != nil && !isMissing(err) {
			return err
		}
	}
	for _, id := range slices.Concat(r.gone, r.empty) {
		if err := s.removePack(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) sealAfterCrash(ctx context.Context, p packEnd) (err error) {
	f, err := r.s.disk.open(packName(p.id), os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if err := sealFile(f, min(size, p.end)); err != nil {
		return err
	}
	return r.s.sealPack(ctx, p.id, p.end)
}

// removePack takes away a pack without bodies: first the row says so, then the
// file goes, then the row.
func (s *Store) removePack(ctx context.Context, id int64) error {
	if err := s.setPackState(ctx, id, packGone); err != nil {
		return err
	}
	s.files.drop(id)
	if err := s.disk.remove(packName(id)); err != nil && !isMissing(err) {
		return err
	}
	if err := s.disk.syncDir("packs"); err != nil {
		return err
	}
	return s.deletePack(ctx, id)
}
