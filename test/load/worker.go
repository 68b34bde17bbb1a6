package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	// maxFailuresInARow ends a worker whose server is plainly not there.
	maxFailuresInARow = 20
	repeatPause       = 20 * time.Millisecond
)

// worker is one connection of a source, renewed as needed.
type worker struct {
	run  *sourceRun
	tmpl template
	dlg  *dialogue
	used int // messages on the present connection

	// The message under way: its recipients that have no final reply yet.
	waiting []int
	settled []int // recipients that got 250 in the attempt under way

	sent, recipients, failed int
	latency                  []uint32
	errors                   tally
	unconfirmed              []string
	row                      int // failures in a row
	lastGood                 time.Time
}

// maxAhead bounds the latencies that a worker has room for from the start.
const maxAhead = 100_000

func (r *sourceRun) newWorker() *worker {
	// Room ahead for what is measured; a source without an end grows as it goes.
	share := min(r.cfg.Messages/r.cfg.Conns*5/4+1, maxAhead)
	return &worker{
		run: r, tmpl: r.tmpl.clone(), errors: tally{},
		waiting: make([]int, 0, r.cfg.Rcpts), settled: make([]int, 0, r.cfg.Rcpts),
		latency: make([]uint32, 0, share),
	}
}

func (w *worker) work(ctx context.Context) {
	w.lastGood = time.Now()
	for ctx.Err() == nil && (w.run.cfg.Repeat || w.row < maxFailuresInARow) {
		index, more := w.run.take()
		if !more {
			break
		}
		if !w.deliver(ctx, index) {
			break
		}
	}
	w.hangUp(ctx)
}

// deliver brings one message to its final reply; false when the worker gives up.
func (w *worker) deliver(ctx context.Context, index int) bool {
	w.waiting = w.waiting[:0]
	for k := range w.run.cfg.Rcpts {
		w.waiting = append(w.waiting, (index*w.run.cfg.Rcpts+k)%w.run.cfg.Mailboxes)
	}
	w.tmpl.patch(index)
	for {
		err := w.attempt(ctx, index)
		if err == nil {
			w.sent++
			w.row, w.lastGood = 0, time.Now()
			return true
		}
		w.errors[kindOf(err)]++
		w.row++
		if !w.run.cfg.Repeat || !worthRepeating(err) {
			w.failed++
			return true
		}
		if ctx.Err() != nil || time.Since(w.lastGood) > w.run.cfg.RepeatFor || !pause(ctx, repeatPause) {
			w.failed++
			w.unconfirmed = append(w.unconfirmed, messageID(w.run.cfg.Run, index))
			return false
		}
	}
}

// attempt sends the message once, over a new connection if need be. A broken
// connection is dropped, one that still speaks is kept.
func (w *worker) attempt(ctx context.Context, index int) error {
	if limit := w.run.cfg.PerConn; w.dlg != nil && limit > 0 && w.used >= limit {
		w.hangUp(ctx)
	}
	if w.dlg == nil {
		dlg, err := w.run.open(ctx)
		if err != nil {
			return err
		}
		w.dlg, w.used = dlg, 0
	}
	w.used++
	began := time.Now()
	err := w.transact(index)
	if err == nil {
		w.latency = append(w.latency, micros(time.Since(began)))
		return nil
	}
	if reply, ok := errors.AsType[*ReplyError](err); ok && reply.Code != 421 && w.dlg.reset() == nil {
		return err
	}
	w.dlg.close()
	w.dlg = nil
	return err
}

// transact is MAIL to the final reply or replies.
func (w *worker) transact(index int) error {
	if err := w.dlg.arm(); err != nil {
		return &stepError{"MAIL", err}
	}
	if err := w.envelope(); err != nil {
		return err
	}
	if err := w.dlg.write(w.tmpl.bytes); err != nil {
		return &stepError{"body", err}
	}
	if !w.run.cfg.LMTP {
		text, err := w.dlg.expect("final", 250)
		if err != nil {
			return err
		}
		w.settled = append(w.settled[:0], w.waiting...)
		w.settle(index, text)
		return nil
	}
	return w.lmtpReplies(index)
}

func (w *worker) envelope() error {
	d := w.dlg
	if w.run.cfg.Pipeline {
		d.out = append(d.out[:0], w.run.mail...)
		for _, m := range w.waiting {
			d.out = append(d.out, w.run.rcpts[m]...)
		}
		d.out = append(d.out, "DATA\r\n"...)
		if err := d.write(d.out); err != nil {
			return &stepError{"MAIL", err}
		}
		return w.envelopeReplies()
	}
	if err := d.step("MAIL", w.run.mail, 250); err != nil {
		return err
	}
	for _, m := range w.waiting {
		if err := d.step("RCPT", w.run.rcpts[m], 250); err != nil {
			return err
		}
	}
	return d.step("DATA", d.data, 354)
}

// envelopeReplies reads every reply of a pipelined envelope and reports the first
// that was a refusal. A 354 after a refusal must still be ended by an empty body;
// the connection is given up instead.
func (w *worker) envelopeReplies() error {
	_, first := w.dlg.expect("MAIL", 250)
	for range w.waiting {
		if _, err := w.dlg.expect("RCPT", 250); first == nil {
			first = err
		}
	}
	_, err := w.dlg.expect("DATA", 354)
	if first == nil {
		return err
	}
	if err == nil {
		w.dlg.spoilt = true
	}
	return first
}

// lmtpReplies reads one reply per recipient. RFC 2033 §4.2: each stands for
// itself, so those that were confirmed are not sent again.
func (w *worker) lmtpReplies(index int) error {
	w.settled = w.settled[:0]
	still := w.waiting[:0]
	var first error
	var text []byte
	for i, m := range w.waiting {
		t, err := w.dlg.expect("final", 250)
		if err == nil {
			w.settled = append(w.settled, m)
			text = append(text[:0], t...)
			continue
		}
		if first == nil {
			first = err
		}
		if _, spoke := errors.AsType[*ReplyError](err); !spoke {
			still = append(still, w.waiting[i:]...)
			break
		}
		still = append(still, m)
	}
	if len(w.settled) > 0 {
		w.settle(index, text)
	}
	w.waiting = still
	return first
}

func (w *worker) settle(index int, text []byte) {
	w.recipients += len(w.settled)
	w.run.accepted(index, w.settled, text)
}

func (w *worker) hangUp(ctx context.Context) {
	if w.dlg == nil {
		return
	}
	if ctx.Err() == nil {
		w.dlg.quit()
	}
	w.dlg.close()
	w.dlg = nil
}

// worthRepeating: no answer, or a temporary one.
func worthRepeating(err error) bool {
	reply, ok := errors.AsType[*ReplyError](err)
	return !ok || reply.Code < 500
}

// kindOf names an error for the tally, few kinds in all.
func kindOf(err error) string {
	if reply, ok := errors.AsType[*ReplyError](err); ok {
		if reply.Code == 0 { // IMAP and POP3 have no codes
			return reply.Step + " refused"
		}
		return reply.Step + " " + strconv.Itoa(reply.Code)
	}
	step := "dialogue"
	if s, ok := errors.AsType[*stepError](err); ok {
		step = s.step
	}
	var netErr net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return step + " refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return step + " reset"
	case errors.Is(err, io.EOF):
		return step + " closed"
	case errors.Is(err, net.ErrClosed):
		return step + " stopped"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return step + " timeout"
	default:
		return step + " error"
	}
}
