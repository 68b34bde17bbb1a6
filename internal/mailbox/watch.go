package mailbox

import (
	"context"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/mail"
)

// noticeTopic is under which processes tell each other of changed mailboxes.
const noticeTopic = "mailbox"

// lookEvery is how often a process looks by itself for what others changed in
// the mailboxes that are open here: what a lost notice costs at most.
const lookEvery = 5 * time.Second

// Watch wakes Views for what other processes change in their mailboxes, until
// ctx ends. It returns at once where no other process can use the database.
func (s *Store) Watch(ctx context.Context) {
	heard := func(ids []int64) {
		boxes := make([]mail.ID, len(ids))
		for i, id := range ids {
			boxes[i] = mail.ID(id)
		}
		if len(boxes) == 0 {
			boxes = s.hub.open()
		}
		s.hub.changed(boxes...)
	}
	if !s.db.Listen(ctx, noticeTopic, heard) {
		return
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if err := s.look(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("changes of other processes are not seen now", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// look wakes the Views of open mailboxes that have changed since they were read.
func (s *Store) look(ctx context.Context) error {
	known := s.hub.modseqs()
	ids := make([]int64, 0, len(known))
	for id := range known {
		ids = append(ids, int64(id))
	}
	var changed []mail.ID
	err := s.db.Read(ctx, func(tx *db.Tx) error {
		changed = nil
		gone := make(map[mail.ID]bool, len(known))
		for id := range known {
			gone[id] = true
		}
		err := tx.QueryIn(db.SQL("SELECT id, modseq FROM mailbox WHERE id IN (@ids) AND name IS NOT NULL"), db.In{IDs: ids}, func(r db.Rows) error {
			var id mail.ID
			var modseq int64
			err := r.Scan(&id, &modseq)
			delete(gone, id)
			if modseq != known[id] {
				changed = append(changed, id)
			}
			return err
		})
		for id := range gone {
			changed = append(changed, id)
		}
		return err
	})
	if err == nil {
		s.hub.changed(changed...)
	}
	return err
}

// announce wakes the Views here and those of other processes.
func (s *Store) announce(boxes ...mail.ID) {
	s.hub.changed(boxes...)
	ids := make([]int64, len(boxes))
	for i, id := range boxes {
		ids[i] = int64(id)
	}
	s.db.Announce(noticeTopic, ids...)
}
