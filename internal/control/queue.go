package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/classify"
	"github.com/hayauma/hayauma/internal/db"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/route"
)

// maxHeaderShown bounds the header in the answer to QueueShow, in octets.
const maxHeaderShown = 64 << 10

type queueVerb struct {
	call  Call[QueueFilter, Touched]
	serve func(context.Context, QueueFilter) (Touched, error)
}

func (s *Service) queueVerbs() []queueVerb {
	verb := func(c Call[QueueFilter, Touched], act func(context.Context, queue.Filter) (queue.Touched, error)) queueVerb {
		return queueVerb{call: c, serve: func(ctx context.Context, in QueueFilter) (Touched, error) {
			f, err := s.filter(ctx, in)
			if err != nil {
				return Touched{}, err
			}
			t, err := act(ctx, f)
			if err == nil && t == (queue.Touched{}) && len(f.IDs) > 0 {
				err = errors.New("no such message or recipient in the queue, or its state does not allow this")
			}
			return Touched{Recipients: t.Moved, UnderWay: t.UnderWay, Untold: t.Untold}, partly(t, in, err)
		}}
	}
	return []queueVerb{
		verb(QueueRetry, s.Queue.Retry),
		verb(QueueHold, s.Queue.Hold),
		verb(QueueRelease, s.Queue.Release),
		verb(QueueBounce, s.Queue.Bounce),
		verb(QueueDelete, s.Queue.Delete),
	}
}

func (s *Service) reroute(ctx context.Context, in QueueWay) (Touched, error) {
	f, err := s.filter(ctx, in.QueueFilter)
	if err != nil {
		return Touched{}, err
	}
	site := ""
	if in.To != route.Direct {
		if _, ok := s.Routes.Get(in.To); !ok {
			return Touched{}, named(in.To, route.ErrNoRoute)
		}
		site = route.Site(in.To)
	}
	n, err := s.Queue.Reroute(ctx, f, site)
	if err == nil && n == (queue.Touched{}) && len(f.IDs) > 0 {
		err = errors.New("no such message or recipient in the queue, or it goes there already, or its story is over")
	}
	return Touched{Recipients: n.Moved, UnderWay: n.UnderWay}, partly(n, in.QueueFilter, err)
}

// partly adds to what ended a verb early how far it had come, and what can be done.
func partly(t queue.Touched, in QueueFilter, err error) error {
	if errors.Is(err, db.ErrFull) {
		err = fmt.Errorf("the disk is full: make room on it, or restart the server, which holds some for that: %w", err)
	}
	if err != nil && t.All() > 0 && !in.DryRun {
		err = fmt.Errorf("%d recipients were reached, say it again for the rest: %w", t.All(), err)
	}
	return err
}

func (s *Service) filter(ctx context.Context, f QueueFilter) (queue.Filter, error) {
	out, err := f.filter()
	if err == nil {
		out.Account, err = s.accountOf(ctx, f.Account)
	}
	if f.Tenant != "" && err == nil {
		out.Tenant, err = s.tenant(ctx, f.Tenant)
	}
	if f.Class == "" || err != nil {
		return out, err
	}
	class, ok := classify.Parse(f.Class)
	if !ok {
		return out, fmt.Errorf("%q is no class: use one of %s", f.Class, Classes())
	}
	out.Last = func(r *queue.Recipient) bool { return s.class(r) == class }
	return out, nil
}

// accountOf finds an account by its address; one that was removed, and has mail in the
// queue still, by its id.
func (s *Service) accountOf(ctx context.Context, name string) (mail.ID, error) {
	if name == "" {
		return 0, nil
	}
	if id, err := mail.ParseID(name); err == nil {
		return id, nil
	}
	a, err := mail.ParseAddress(name)
	if err != nil {
		return 0, named(name, err)
	}
	acc, err := s.Directory.Find(ctx, a)
	return acc.ID, named(name, err)
}

// Classes are those of failures, in one line.
func Classes() string {
	names := make([]string, 0, len(classify.All()))
	for _, c := range classify.All() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}

func (f QueueFilter) filter() (queue.Filter, error) {
	out := queue.Filter{All: f.All, Limit: f.Limit, Host: f.Host, Reply: f.Reply, Tag: f.Tag, Provider: f.Provider, Stream: f.Stream, DryRun: f.DryRun}
	if f.Before != "" {
		at, err := time.Parse(time.RFC3339, f.Before)
		if err != nil {
			return out, fmt.Errorf("%q is no time: %w", f.Before, err)
		}
		out.Before = mail.Micros(at)
	}
	for _, text := range f.IDs {
		id, err := mail.ParseID(text)
		if err != nil {
			return out, fmt.Errorf("%q: %w", text, err)
		}
		out.IDs = append(out.IDs, id)
	}
	if f.Domain != "" {
		d, err := mail.ParseDomain(f.Domain)
		if err != nil {
			return out, fmt.Errorf("%q: %w", f.Domain, err)
		}
		out.Domain = d.ASCII
	}
	if f.Route != "" {
		out.Site = route.Site(f.Route)
	}
	if f.Sender != "" && f.Sender != "<>" {
		a, err := mail.ParseAddress(f.Sender)
		if err != nil {
			return out, fmt.Errorf("%q: %w", f.Sender, err)
		}
		out.Sender = a.String()
	} else {
		out.Sender = f.Sender
	}
	if f.State != "" {
		for s := queue.Queued; s <= queue.Served; s++ {
			if s.String() == f.State {
				out.State = s
			}
		}
		if out.State == 0 {
			return out, fmt.Errorf("%q is no state: use queued, leased, deferred, failed, held or served", f.State)
		}
	}
	return out, nil
}

func (s *Service) recall(ctx context.Context, in MessageName) (Touched, error) {
	id, err := mail.ParseID(in.Message)
	if err != nil {
		return Touched{}, fmt.Errorf("%q: %w", in.Message, err)
	}
	n, err := s.Queue.Recall(ctx, id, 0)
	if errors.Is(err, queue.ErrNotFound) {
		err = errors.New("no message with this id waits: it has arrived everywhere, was never taken, or was taken back already; see 'hayauma trace'")
	}
	return Touched{Recipients: n}, err
}

// queueList writes the list while it reads the queue, since a long one is much larger
// than what the rest of the server needs. What goes wrong behind its beginning leaves it
// without an end.
func (s *Service) queueList(w http.ResponseWriter, r *http.Request) {
	var in QueueFilter
	if !understood(w, r, &in) {
		return
	}
	out := array{w: w}
	err := s.eachEntry(r.Context(), in, out.add)
	switch {
	case err == nil:
		_ = out.end() // the asker went away: nobody is left to tell
	case !out.begun:
		reply(w, nil, err)
	}
}

// eachEntry calls take with what a list has, in its order.
func (s *Service) eachEntry(ctx context.Context, in QueueFilter, take func(QueueEntry) error) error {
	f, err := s.filter(ctx, in)
	if err != nil {
		return err
	}
	if f.Limit < 0 || f.Limit > MaxList+1 {
		return fmt.Errorf("a list of %d recipients: at most %d can be asked for at once", f.Limit, MaxList)
	}
	if f.Limit == 0 {
		f.Limit = MaxList + 1
	}
	return s.Queue.Parts(ctx, f, func(messages []*queue.Message) error {
		l, err := s.look(ctx, messages...)
		if err != nil {
			return err
		}
		for _, m := range messages {
			for _, e := range l.entries(m) {
				if err := take(e); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// array writes the entries of a list as one JSON array, each as it comes.
type array struct {
	w     http.ResponseWriter
	begun bool
}

func (a *array) add(e QueueEntry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	before := ","
	if !a.begun {
		before = a.begin()
	}
	_, err = a.w.Write(append([]byte(before), text...))
	return err
}

func (a *array) begin() string {
	a.begun = true
	a.w.Header().Set("Content-Type", "application/json")
	return "["
}

func (a *array) end() error {
	before := ""
	if !a.begun {
		before = a.begin()
	}
	_, err := io.WriteString(a.w, before+"]\n")
	return err
}

// heldAccounts are those whose mail waits for an operator.
func (s *Service) heldAccounts(ctx context.Context) (map[mail.ID]string, error) {
	holds, err := s.Rates.Holds(ctx)
	out := make(map[mail.ID]string, len(holds))
	for _, h := range holds {
		out[h.Account] = h.Reason
	}
	return out, err
}

// removedAccounts are those that are no more, of whose mail some is held with its account.
func (s *Service) removedAccounts(ctx context.Context, messages []*queue.Message) (map[mail.ID]bool, error) {
	out := map[mail.ID]bool{}
	for _, m := range messages {
		_, asked := out[m.Account]
		if asked || !slices.ContainsFunc(m.Recipients, heldWithAccount) {
			continue
		}
		_, err := s.Directory.Get(ctx, m.Account)
		if err != nil && !errors.Is(err, account.ErrNoAccount) {
			return nil, err
		}
		out[m.Account] = err != nil
	}
	return out, nil
}

func heldWithAccount(r queue.Recipient) bool {
	return r.State == queue.Held && r.Holder == queue.HeldWithAccount
}

// siteWaits tells of a recipient why it waits for its site, "" if that is not for the
// site; busy says what it may wait for before an attempt. It asks once for each site.
func (s *Service) siteWaits() func(r *queue.Recipient) (waits, busy string) {
	known := map[string]*siteWords{}
	return func(r *queue.Recipient) (string, string) {
		w := known[r.Site]
		if w == nil {
			w = s.siteWords(r.Site)
			known[r.Site] = w
		}
		if w.down != nil && (r.State != queue.Deferred || w.down.Keeps(r)) {
			return w.down.Words() + "; one message tries it again at " + w.down.Until.Format(time.RFC3339), w.busy
		}
		return w.waits, w.busy
	}
}

// siteWords is why mail for a site waits.
type siteWords struct {
	waits, busy string
	down        *queue.Down
}

func (s *Service) siteWords(site string) *siteWords {
	w := &siteWords{}
	if t, ok := s.Queue.Standing(site); ok {
		if !t.Rest.IsZero() {
			w.waits = fmt.Sprintf("nothing goes to %s before %s: %s", t.Provider, t.Rest.Format(time.RFC3339), t.Why)
		}
		if t.Active >= t.Width {
			w.busy = fmt.Sprintf("%d attempts to %s are under way, and that is as many as it bears at once", t.Active, t.Provider)
		}
	}
	if d, ok := s.Queue.Down(site); ok {
		w.down = &d
	}
	return w
}

// look is what is known for a listing besides its rows.
type look struct {
	held    map[mail.ID]string          // accounts, with the reason
	removed map[mail.ID]bool            // accounts, of those with mail that is held with them
	full    func(*queue.Message) string // what keeps back what is due, for whatever site
	sites   func(r *queue.Recipient) (waits, busy string)
	class   func(*queue.Recipient) classify.Class
	// expires is when the lifetime is over, in microseconds.
	expires func(*queue.Message, *queue.Recipient) int64
}

func (s *Service) look(ctx context.Context, messages ...*queue.Message) (*look, error) {
	held, err := s.heldAccounts(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := s.removedAccounts(ctx, messages)
	if err != nil {
		return nil, err
	}
	return &look{held: held, removed: removed, full: s.Queue.Full, sites: s.siteWaits(), class: s.class, expires: s.Queue.Expires}, nil
}

// why tells why a recipient is not moving, where its last reply does not.
func (l *look) why(m *queue.Message, r *queue.Recipient) string {
	waits, busy := l.sites(r)
	switch r.State {
	case queue.Queued:
		if r.NotBefore > mail.Micros(time.Now()) {
			return "its time has not come"
		}
		if r.Next > mail.Micros(time.Now()) {
			return cmp.Or(waits, rested)
		}
		return cmp.Or(waits, l.turn(m, busy))
	case queue.Leased:
		why := "an attempt is under way"
		if turn := l.turn(m, busy); turn != itsTurn {
			why += ", or " + turn
		}
		if r.Wished != "" {
			return why + "; it is to be " + r.Wished + ", unless that delivers it"
		}
		return cmp.Or(waits, why)
	case queue.Deferred:
		if r.Next <= mail.Micros(time.Now()) {
			return cmp.Or(waits, l.turn(m, busy))
		}
		return cmp.Or(waits, "a temporary failure")
	case queue.Failed, queue.Served:
		return "its report is written"
	case queue.Held:
		if heldWithAccount(*r) {
			return l.withAccount(m.Account)
		}
		return holder(m, r.Holder)
	}
	return ""
}

// withAccount tells why mail is held with its account. That of one that was removed is
// found in the queue by the id.
func (l *look) withAccount(id mail.ID) string {
	switch reason := l.held[id]; {
	case l.removed[id]:
		return "held with its account " + id.String() + ", which was removed"
	case reason != "":
		return "held with its account: " + reason
	}
	return "held with its account, which may send again"
}

const (
	itsTurn = "its turn comes"
	rested  = "it was not to be tried when its turn came"
)

// turn tells what somebody waits for who is due.
func (l *look) turn(m *queue.Message, busy string) string {
	if what := cmp.Or(l.full(m), busy); what != "" {
		return itsTurn + ": " + what
	}
	return itsTurn
}

// holder tells who holds, and so who is to release. The tag of a rule stays on the message,
// whoever holds it later.
func holder(m *queue.Message, h queue.Holder) string {
	switch h {
	case queue.HeldAsItCame:
		for _, tag := range m.Tags {
			if rule, ok := strings.CutPrefix(tag, intake.QuarantineTag); ok {
				return "held by the access rule " + rule
			}
		}
	case queue.HeldByHand:
		return "held by the operator"
	case queue.HeldBySetting:
		return "held by the setting queue.hold"
	case queue.HeldUndeletable:
		return "held: it was to be deleted when the server died, and may be delivered"
	}
	return "held until it is released"
}

// class is why the last attempt for a recipient failed, empty if none did. It is not
// stored: a better table of replies is right about old failures as well.
func (s *Service) class(r *queue.Recipient) classify.Class {
	if r.Code == 0 && r.Reply == "" || r.Code/100 == 2 {
		return ""
	}
	return s.Classes.Of(classify.Reply{Code: r.Code, Enhanced: r.Enhanced, Text: r.Reply, Host: r.Host, Ours: r.Ours})
}

func (l *look) entries(m *queue.Message) []QueueEntry {
	out := make([]QueueEntry, 0, len(m.Recipients))
	for _, r := range m.Recipients {
		e := QueueEntry{
			Message: m.ID.String(), ID: r.ID.String(), State: r.State.String(),
			Sender: m.From.String(), Recipient: r.Address.String(), Size: m.Size,
			Received: rfc3339(m.Received), Expires: rfc3339(l.expires(m, &r)),
			Why: l.why(m, &r), Attempts: r.Attempts, Code: r.Code, Enhanced: r.Enhanced, Reply: r.Reply, Host: r.Host,
			Class: string(l.class(&r)),
		}
		if name, ok := route.OfSite(r.Site); ok {
			e.Route = name
		}
		if r.State == queue.Queued || r.State == queue.Deferred {
			e.Next = rfc3339(r.Next)
		}
		out = append(out, e)
	}
	return out
}

func (s *Service) queueShow(ctx context.Context, in MessageName) (out QueueMessage, err error) {
	id, err := mail.ParseID(in.Message)
	if err != nil {
		return out, fmt.Errorf("%q: %w", in.Message, err)
	}
	m, err := s.Queue.Show(ctx, id)
	if err != nil {
		return out, err
	}
	l, err := s.look(ctx, m)
	if err != nil {
		return out, err
	}
	out.Entries = l.entries(m)
	body, err := s.Blobs.Open(ctx, m.Body)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	head := make([]byte, min(body.Size(), maxHeaderShown))
	if _, err := io.ReadFull(io.NewSectionReader(body, 0, int64(len(head))), head); err != nil {
		return out, err
	}
	out.Header = string(headerOf(head))
	return out, nil
}
