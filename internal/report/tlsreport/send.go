package tlsreport

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/dnsx"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/tlspolicy/tlsrpt"
)

// State is how far a report is.
type State string

// The states. All but the first are final.
const (
	Waiting  State = "waiting"   // for its day to end, or to be tried again
	Sent     State = "sent"      // somebody took it
	Failed   State = "failed"    // nobody took it within a day
	Unwanted State = "unwanted"  // the domain asks for none
	MailOnly State = "mail only" // it is wanted by mail, which would have to be signed (RFC 8460 §3)
)

const (
	// sendWithin is how long after its day a report is tried (RFC 8460 §5.5).
	sendWithin = 24 * time.Hour
	// firstWait is the wait behind the first attempt; each is twice the one before.
	firstWait = 10 * time.Minute
	// attemptTimeout is for all addresses of a domain together. It is shorter than any
	// wait, so that no attempt begins before the last one has ended.
	attemptTimeout = 2 * time.Minute
	// senders is how many reports are sent at once, dueSlice how many are read.
	senders  = 8
	dueSlice = 100
	// lookTimeout is for the look at a domain's record.
	lookTimeout = 10 * time.Second
)

// due is a report that waits.
type due struct {
	key
	due      int64
	attempts int
}

// Send sends the reports that are due.
func (r *Reports) Send(ctx context.Context) error {
	for r.o.Settings().On && ctx.Err() == nil {
		list, err := r.due(ctx)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := r.sendAll(ctx, list); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// sendAll sends some at a time.
func (r *Reports) sendAll(ctx context.Context, list []due) error {
	var wg sync.WaitGroup
	work, errs := make(chan due), make([]error, senders)
	for i := range senders {
		wg.Go(func() {
			for d := range work {
				errs[i] = errors.Join(errs[i], r.send(ctx, d))
			}
		})
	}
	for _, d := range list {
		work <- d
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

var sqlDue = db.SQL("SELECT day, domain, due, attempts FROM tls_report WHERE state = 'waiting' AND due <= ? ORDER BY due LIMIT ?")

func (r *Reports) due(ctx context.Context) (list []due, err error) {
	now := mail.Micros(r.o.Now())
	err = r.o.DB.Read(ctx, func(tx *db.Tx) error {
		list = nil
		rows, err := tx.Query(sqlDue, now, dueSlice)
		if err != nil {
			return err
		}
		return db.Each(rows, func(rows db.Rows) error {
			var d due
			err := rows.Scan(&d.day, &d.domain, &d.due, &d.attempts)
			list = append(list, d)
			return err
		})
	})
	return list, err
}

var sqlClaim = db.SQL(`UPDATE tls_report SET due = ?, attempts = attempts + 1
	WHERE day = ? AND domain = ? AND state = 'waiting' AND due = ?`)

// send makes one attempt at a report, if no other process does. The next one is noted
// before this one begins: a process that dies on the way does not send the report
// again at once, and when it does, the report has the same id.
func (r *Reports) send(ctx context.Context, d due) error {
	now := r.o.Now()
	next := now.Add(firstWait << min(d.attempts, 10))
	var mine int64
	err := r.o.DB.Write(ctx, func(tx *db.Tx) (err error) {
		mine, err = tx.Exec(sqlClaim, mail.Micros(next), d.day, d.domain, d.due)
		return err
	})
	if err != nil || mine == 0 {
		return err
	}
	end := startOf(d.day + 1).Add(sendWithin)
	if !now.Before(end) {
		return r.finish(ctx, d, Failed, "it was not sent within a day")
	}
	state, reply := r.attempt(ctx, d)
	switch {
	case ctx.Err() != nil && state == Waiting:
		return context.Cause(ctx)
	case state == Waiting && !next.Before(end):
		state = Failed
	}
	// What was sent is noted, also while the server stops.
	return r.finish(context.WithoutCancel(ctx), d, state, reply)
}

// attempt says what became of a report; Waiting = it is tried again.
func (r *Reports) attempt(ctx context.Context, d due) (State, string) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	record, err := r.record(ctx, d.domain)
	switch {
	case errors.Is(err, tlsrpt.ErrNoRecord):
		return Unwanted, ""
	case err != nil:
		return Waiting, "the TXT record of _smtp._tls." + d.domain + " cannot be looked up: " + err.Error()
	case len(record.HTTPS) == 0:
		return MailOnly, "it is wanted at " + strings.Join(record.Mail, ", ")
	}
	report, err := r.compose(ctx, d.key)
	if err != nil {
		return Waiting, "the report cannot be made: " + err.Error()
	}
	var failures []string
	state := Waiting
	// RFC 8460 §3: it is delivered as soon as one has taken it.
	for _, uri := range record.HTTPS {
		if err := r.o.Post(ctx, uri, report); err != nil {
			failures = append(failures, uri+": "+err.Error())
			continue
		}
		state = Sent
	}
	return state, strings.Join(failures, "; ")
}

// record returns where a domain wants its reports; ErrNoRecord says nowhere.
func (r *Reports) record(ctx context.Context, domain string) (tlsrpt.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	records, err := r.o.TXT(ctx, "_smtp._tls."+domain)
	if errors.Is(err, dnsx.ErrNotFound) || errors.Is(err, dnsx.ErrNoData) {
		return tlsrpt.Record{}, tlsrpt.ErrNoRecord
	}
	if err != nil {
		return tlsrpt.Record{}, err
	}
	return tlsrpt.ParseRecord(records)
}

var sqlResults = db.SQL("SELECT policy, failure, body, succeeded, failed FROM tls_result WHERE day = ? AND domain = ? ORDER BY policy, failure")

// compose makes the report of a domain and day, compressed.
func (r *Reports) compose(ctx context.Context, k key) ([]byte, error) {
	s := r.o.Settings()
	report := tlsrpt.Report{
		Organization: cmp.Or(s.Organization, s.Hostname), Contact: cmp.Or(s.Contact, "postmaster@"+s.Hostname),
		Range: tlsrpt.Day(startOf(k.day)), ID: fmt.Sprintf("%s.%s@%s", startOf(k.day).Format("20060102"), k.domain, s.Hostname),
	}
	err := r.o.DB.Read(ctx, func(tx *db.Tx) error {
		report.Policies = nil
		rows, err := tx.Query(sqlResults, k.day, k.domain)
		if err != nil {
			return err
		}
		return db.Each(rows, func(rows db.Rows) error {
			var of row
			if err := rows.Scan(&of.id.policy, &of.id.failure, &of.body, &of.succeeded, &of.failed); err != nil {
				return err
			}
			return into(&report, of)
		})
	})
	if err != nil {
		return nil, err
	}
	return report.Gzip()
}

// into adds a row to a report. Each policy comes before its failures.
func into(report *tlsrpt.Report, of row) error {
	if of.id.failure == "" {
		p := tlsrpt.PolicyCount{Summary: tlsrpt.Summary{Succeeded: of.succeeded, Failed: of.failed}}
		report.Policies = append(report.Policies, p)
		return json.Unmarshal([]byte(of.body), &report.Policies[len(report.Policies)-1].Policy)
	}
	last := &report.Policies[len(report.Policies)-1]
	f := tlsrpt.Failure{}
	err := json.Unmarshal([]byte(of.body), &f)
	f.Sessions = of.failed
	last.Failures = append(last.Failures, f)
	return err
}

var (
	sqlFinish = db.SQL("UPDATE tls_report SET state = ?, reply = ? WHERE day = ? AND domain = ?")
	sqlDone   = db.SQL("DELETE FROM tls_result WHERE day = ? AND domain = ?")
)

// finish notes what became of an attempt. The results of a report that is done with
// go.
func (r *Reports) finish(ctx context.Context, d due, state State, reply string) error {
	ctx, cancel := context.WithTimeout(db.WithReserve(ctx), lastStore)
	defer cancel()
	reply = inWords(reply)
	err := r.o.DB.Write(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(sqlFinish, state, reply, d.day, d.domain); err != nil || state == Waiting {
			return err
		}
		_, err := tx.Exec(sqlDone, d.day, d.domain)
		return err
	})
	if err != nil {
		return err
	}
	log, text := r.o.Logger.Info, "TLS report not sent, it is tried again"
	switch state {
	case Unwanted:
		log = r.o.Logger.Debug
		text = "TLS report not wanted"
	case Sent:
		text = "TLS report sent"
	case MailOnly:
		text = "TLS report not sent: by mail it would have to be signed (DKIM), which is not possible yet"
	case Failed:
		log, text = r.o.Logger.Warn, "TLS report not sent, given up"
	}
	if state != Waiting {
		r.o.Metrics.report(state)
	}
	log(text, "domain", d.domain, "day", startOf(d.day).Format(time.DateOnly), "attempts", d.attempts+1, "reply", reply)
	return nil
}
