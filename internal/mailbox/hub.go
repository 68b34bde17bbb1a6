package mailbox

import (
	"sync"
	"sync/atomic"

	"github.com/hayauma/hayauma/internal/mail"
)

// hub tells the Views of a mailbox that it may have changed. It holds only
// mailboxes that a View is open on.
type hub struct {
	mu    sync.Mutex
	boxes map[mail.ID]*shared
}

func newHub() *hub { return &hub{boxes: make(map[mail.ID]*shared)} }

// shared is what the Views of one mailbox have in common.
type shared struct {
	id, account mail.ID

	// changes grows with every commit that touches the mailbox, so a View that
	// has seen its value has seen everything.
	changes atomic.Int64

	loading sync.Mutex // held while the map is read for the first time

	mu      sync.Mutex // guards what follows
	views   map[*View]struct{}
	loaded  bool
	uids    []uint32 // ascending; behind its end only the holder of mu writes
	modseq  int64    // of the change that uids are up to
	top     uint32   // the largest UID that was ever in uids
	recent  uint32   // UIDs below have been told as \Recent
	written uint32   // recent as the database has it
}

// join finds or makes what the Views of a mailbox share and adds one.
func (h *hub) join(v *View, id, account mail.ID) *shared {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[id]
	if b == nil {
		b = &shared{id: id, account: account, views: make(map[*View]struct{})}
		h.boxes[id] = b
	}
	b.mu.Lock()
	b.views[v] = struct{}{}
	b.mu.Unlock()
	return b
}

// leave takes a View away and forgets the mailbox with its last one.
func (h *hub) leave(v *View, b *shared) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.views, v)
	if len(b.views) == 0 {
		delete(h.boxes, b.id)
	}
}

// changed wakes the Views of mailboxes. It does not block.
func (h *hub) changed(ids ...mail.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		b := h.boxes[id]
		if b == nil {
			continue
		}
		b.changes.Add(1)
		b.mu.Lock()
		for v := range b.views {
			v.nudge()
		}
		b.mu.Unlock()
	}
}

// open are the mailboxes that a View is open on.
func (h *hub) open() []mail.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]mail.ID, 0, len(h.boxes))
	for id := range h.boxes {
		ids = append(ids, id)
	}
	return ids
}

// modseqs is up to which change each open mailbox is known.
func (h *hub) modseqs() map[mail.ID]int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make(map[mail.ID]int64, len(h.boxes))
	for id, b := range h.boxes {
		b.mu.Lock()
		out[id] = b.modseq
		b.mu.Unlock()
	}
	return out
}

// told is the \Recent mark of a mailbox as the sessions in memory know it.
func (h *hub) told(id mail.ID) uint32 {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.boxes[id]
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.recent
}

// claim moves the \Recent mark up to next and returns where it was. Without
// take it only looks.
func (b *shared) claim(next uint32, take bool) uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := b.recent
	if take {
		b.recent = max(b.recent, next)
	}
	return from
}
