package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/config"
	"github.com/hayauma/hayauma/internal/intake"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/outbound"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/queue/retry"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/source"
)

// Destination names an address or a domain, and whose mail it is about: rules for
// routes ask for the sender, those for source addresses for the rest.
type Destination struct {
	Address string `json:"address"`
	Sender  string `json:"sender,omitempty"`  // the reverse-path, <> for the null one; empty = somebody for whom no rule is
	Account string `json:"account,omitempty"` // empty = nobody's
	Stream  string `json:"stream,omitempty"`
	Tag     string `json:"tag,omitempty"`
}

// Explained is what would happen now to mail for a destination.
type Explained struct {
	Domain   string          `json:"domain"`
	Local    bool            `json:"local,omitempty"`   // it stays here, and the rest is empty
	Unknown  bool            `json:"unknown,omitempty"` // nobody has this address: it is refused
	Known    string          `json:"known,omitempty"`   // what its host said of it last, where it is asked
	Relay    *account.Relay  `json:"relay,omitempty"`   // nil = it is no relay domain
	Hold     string          `json:"hold,omitempty"`    // who holds new mail for it, in words
	Route    *outbound.Route `json:"route,omitempty"`
	Rule     *route.Rule     `json:"rule,omitempty"` // that chose the way; nil = none did
	Provider *ProviderState  `json:"provider,omitempty"`
	Source   *SourceRoute    `json:"source,omitempty"`
	Down     *SiteDown       `json:"down,omitempty"`
	Limits   []SiteLimit     `json:"limits,omitempty"`
}

// SiteLimit is a limit that holds for a site, and where it stands.
type SiteLimit struct {
	Limit string `json:"limit"`
	Value string `json:"value"`
	From  string `json:"from"` // a setting, a source, or who has set it
}

// GivenUpAfter is the limit that is a lifetime.
const GivenUpAfter = "given up after"

// schedule begins where a limit stands that is set for some mail.
const schedule = "queue schedule "

// SiteDown is a destination that cannot be reached.
type SiteDown struct {
	Domain string `json:"domain"`
	Since  string `json:"since"` // RFC 3339, like all times
	Next   string `json:"next"`  // one message tries it again
	Reply  string `json:"reply"`
}

// ProviderState is how one who takes the mail of some domains stands.
type ProviderState struct {
	Name        string `json:"name"`
	Title       string `json:"title,omitempty"`
	Active      int    `json:"active"`         // attempts under way
	Connections int    `json:"connections"`    // as many as it is thought to bear now
	Rest        string `json:"rest,omitempty"` // nothing goes before
	Less        string `json:"less,omitempty"` // it gets less than usual until then
	Why         string `json:"why,omitempty"`  // it rests, or gets less
}

// ProviderLimits sets limits of a provider, * = of everyone without his own. One
// without Set and Unset changes nothing.
type ProviderLimits struct {
	Provider string            `json:"provider"`
	Set      map[string]string `json:"set,omitempty"`
	Unset    []string          `json:"unset,omitempty"`
}

func (s *Service) handleOutbound(mux *http.ServeMux) {
	handle(mux, OutboundExplain, s.outboundExplain)
	handle(mux, OutboundLimit, s.outboundLimit)
	handle(mux, OutboundList, s.outboundList)
	handle(mux, OutboundReports, s.outboundReports)
	handle(mux, OutboundEvents, s.outboundEvents)
	s.handleReplyRules(mux)
}

func (s *Service) outboundExplain(ctx context.Context, in Destination) (Explained, error) {
	domain := in.Address[strings.LastIndexByte(in.Address, '@')+1:]
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return Explained{}, named(in.Address, err)
	}
	by, err := s.correspondentOf(ctx, in)
	if err != nil {
		return Explained{}, err
	}
	out := Explained{Domain: d.ASCII}
	if out.Local, err = s.Directory.IsLocal(ctx, d); err != nil || out.Local {
		return out, err
	}
	if out.Relay, err = s.Directory.Relay(ctx, d); err != nil {
		return out, err
	}
	if out.Relay != nil && domain != in.Address {
		if err := s.explainRecipient(ctx, in.Address, &out); err != nil || out.Local {
			return out, err
		}
	}
	held, err := s.heldAccounts(ctx)
	if err != nil {
		return out, err
	}
	out.Hold = holds(held, by.Account, s.Queue.HoldsNew())
	site, rule, err := s.chosen(ctx, by, d)
	if err != nil {
		return out, err
	}
	way := s.Outbound.Explain(ctx, mail.Domain{ASCII: site}, s.Sources.ForSender(by.Sender))
	state := s.state(s.Queue.Traffic(cmp.Or(s.Outbound.Provider(ctx, site), site)))
	out.Route, out.Rule, out.Provider = &way, rule, &state
	if way.Proxy == "" { // else it goes from the proxy's, which we do not know
		out.Source = s.sourceRoute(ctx, by, state.Name, way)
	}
	if down, ok := s.Queue.Down(site); ok {
		out.Down = &SiteDown{Domain: d.ASCII, Since: stamp(down.Since), Next: stamp(down.Until), Reply: down.Reply}
	}
	// What is asked of TLS stands with the route, whoever asks.
	limits := slices.DeleteFunc(s.providerLimits(state.Name), func(l SiteLimit) bool { return l.Limit == string(shaping.TLS) })
	out.Limits, err = s.scheduled(ctx, by, d, append(limits, s.Retry()...))
	return out, err
}

// holds tells in words what holds new mail of an account for others, "" if nothing does:
// the account itself, or the setting.
func holds(accounts map[mail.ID]string, acc mail.ID, setting bool) string {
	var by []string
	if reason, ok := accounts[acc]; ok {
		by = append(by, "the account is on hold: "+reason+"; 'hayauma account hold release' ends that")
	}
	if setting {
		by = append(by, "new mail is held by the setting queue.hold; 'hayauma queue release' lets it go")
	}
	return strings.Join(by, "; ")
}

// correspondent is whose mail is asked about, as rules see it.
type correspondent struct {
	from mail.Address // the reverse-path; null also if nobody was named
	source.Sender
}

// correspondentOf is the one whose mail is asked about: an account, whoever has the sender's
// address, or somebody of the main tenant.
func (s *Service) correspondentOf(ctx context.Context, in Destination) (correspondent, error) {
	by := correspondent{Sender: source.Sender{Tenant: account.MainTenant, Stream: cmp.Or(in.Stream, intake.StreamMain)}}
	if in.Tag != "" {
		by.Tags = []string{in.Tag}
	}
	if path := cmp.Or(in.Sender, in.Account); path != "" && path != "<>" {
		var err error
		if by.from, err = mail.ParseAddress(path); err != nil {
			return by, named(path, err)
		}
	}
	who := by.from
	if in.Account != "" {
		var err error
		if who, err = mail.ParseAddress(in.Account); err != nil {
			return by, named(in.Account, err)
		}
	}
	if who.IsNull() {
		return by, nil
	}
	acc, err := s.Directory.Find(ctx, who)
	switch {
	case err == nil:
		by.Account, by.Tenant = acc.ID, acc.Tenant
	case in.Account != "" || !errors.Is(err, account.ErrNoAccount):
		return by, named(who.String(), err)
	}
	return by, nil
}

// scheduled are limits with the waits and the lifetime of a schedule that is set for the mail.
func (s *Service) scheduled(ctx context.Context, by correspondent, to mail.Domain, limits []SiteLimit) ([]SiteLimit, error) {
	found := s.Schedules.For(retry.Mail{Account: by.Account, Tenant: by.Tenant, Stream: by.Stream, To: to.ASCII})
	tenants, err := s.Directory.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	waitsOf, err := s.nameOf(ctx, found.WaitsOf, tenants)
	lifetimeOf, err2 := s.nameOf(ctx, found.LifetimeOf, tenants)
	for i := range limits {
		switch l := &limits[i]; {
		case l.Limit == GivenUpAfter && found.Lifetime > 0:
			l.Value, l.From = config.FormatDuration(found.Lifetime), schedule+lifetimeOf
		case l.Limit != string(shaping.Retry) || found.Waits == nil:
		case l.From == retry.Setting:
			l.Value, l.From = retry.FormatWaits(found.Waits), schedule+waitsOf
		default: // the provider has waits of its own
			there, _ := retry.ParseWaits(l.Value) // it was checked when it was set
			l.Value, l.From = retry.FormatWaits(queue.Longer(there, found.Waits)), "the longer ones of "+l.Value+", "+l.From+", and of "+schedule+waitsOf
		}
	}
	return limits, errors.Join(err, err2)
}

// explainRecipient tells whether an address of a relay domain is here, or nowhere.
func (s *Service) explainRecipient(ctx context.Context, address string, out *Explained) error {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return named(address, err)
	}
	target, err := s.Directory.Resolve(ctx, a)
	out.Local, out.Unknown = target.Kind == account.Here, target.Kind == account.Unknown
	if err == nil && target.Ask {
		out.Known, err = s.Ahead.Known(ctx, a)
	}
	return named(address, err)
}

func (s *Service) state(t queue.Traffic) ProviderState {
	return ProviderState{Name: t.Provider, Title: s.Shaping.Title(t.Provider), Active: t.Active, Connections: t.Width,
		Rest: stamp(t.Rest), Less: stamp(t.Less), Why: t.Why}
}

// stamp is a time as answers have it, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// providerLimits are the limits that hold for a provider, in order.
func (s *Service) providerLimits(name string) (out []SiteLimit) {
	set := s.Shaping.For(name)
	for _, k := range shaping.Keys() {
		l, ok := set[k]
		if !ok {
			l = shaping.Limit{Value: "none", From: "nothing is known"}
		}
		out = append(out, SiteLimit{Limit: strings.ReplaceAll(string(k), "_", " "), Value: l.Value, From: l.From})
	}
	return out
}

func (s *Service) outboundLimit(ctx context.Context, in ProviderLimits) ([]SiteLimit, error) {
	if in.Provider == "" {
		return nil, errors.New("which provider?")
	}
	change := shaping.Change{Set: map[shaping.Key]string{}}
	for _, name := range in.Unset {
		change.Unset = append(change.Unset, shaping.Key(name))
	}
	for name, value := range in.Set {
		change.Set[shaping.Key(name)] = value
	}
	name, err := shaping.ProviderName(in.Provider)
	if err != nil {
		return nil, err
	}
	tls, err := s.ownTLS(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, set := change.Set[shaping.TLS]; set && tls != "" {
		return nil, fmt.Errorf("tls of %s: a TLS rule is for mail exchangers, and %s", name, tls)
	}
	if len(in.Set)+len(in.Unset) > 0 {
		if err := s.Shaping.Change(ctx, name, change); err != nil {
			return nil, err
		}
		if err := s.Queue.Reshaped(ctx); err != nil {
			return nil, fmt.Errorf("the limits hold, but what waited under those before may go on waiting: 'hayauma queue retry --provider %s' has it tried: %w", name, err)
		}
		s.Outbound.Fewer()
	}
	limits := s.elsewhere(ctx, name, s.providerLimits(name))
	if _, ok := route.OfSite(name); ok { // which no rule is about, for everyone either
		limits = slices.DeleteFunc(limits, func(l SiteLimit) bool { return l.Limit == string(shaping.TLS) })
	}
	return limits, nil
}

// elsewhereWithin is how long it is looked up whose provider a name has.
const elsewhereWithin = 3 * time.Second

// elsewhere adds to the limits that are set for a name where its mail goes, if that is to a
// provider of another name: then they are for those whose exchangers have this one. A TLS rule
// is for domains too.
func (s *Service) elsewhere(ctx context.Context, name string, limits []SiteLimit) []SiteLimit {
	own := func(l SiteLimit) bool {
		return l.Limit != string(shaping.TLS) && strings.HasSuffix(l.From, " for "+name)
	}
	if name == shaping.Everyone || !slices.ContainsFunc(limits, own) {
		return limits
	}
	ctx, cancel := context.WithTimeout(ctx, elsewhereWithin)
	defer cancel()
	provider := s.Outbound.Provider(ctx, name)
	if provider == "" || strings.EqualFold(provider, name) {
		return limits
	}
	for i := range limits {
		if own(limits[i]) {
			limits[i].From += fmt.Sprintf("; mail of %s goes to the provider %s", name, provider)
		}
	}
	return limits
}

// ownTLS says why a TLS rule of a name would do nothing, and where the TLS of what it
// names is set; empty = it is for exchangers.
func (s *Service) ownTLS(ctx context.Context, name string) (string, error) {
	if name == shaping.Everyone {
		return "", nil
	}
	if r, ok := route.OfSite(name); ok {
		return fmt.Sprintf("a route has a TLS of its own: make it again with 'hayauma route set %s --host ... --tls ...', or a web hook with another --url", r), nil
	}
	switch by, err := s.Outbound.Appointed(ctx, name); {
	case err != nil:
		return "", err
	case by == "next host":
		return fmt.Sprintf("the mail of this relay domain goes to next hosts: 'hayauma domain set %s --tls verify' has them prove who they are; "+
			"if it is the provider of other domains too, set the rule for each of those", name), nil
	case by == "smart host" && strings.EqualFold(s.Outbound.Provider(ctx, name), name):
		return "this is the smart host: what is asked of it is outbound.smart_host_tls in the settings", nil
	}
	return "", nil
}

// outboundList tells of the providers that have mail under way or are waited for.
func (s *Service) outboundList(context.Context, Empty) ([]ProviderState, error) {
	out := []ProviderState{}
	for _, t := range s.Queue.Providers() {
		out = append(out, s.state(t))
	}
	slices.SortFunc(out, func(a, b ProviderState) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}
