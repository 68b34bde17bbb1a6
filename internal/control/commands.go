package control

import (
	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/account/ban"
	"github.com/hayauma/hayauma/internal/policy/rate"
	"github.com/hayauma/hayauma/internal/policy/rule"
	"github.com/hayauma/hayauma/internal/relay/event"
	"github.com/hayauma/hayauma/internal/route"
	"github.com/hayauma/hayauma/internal/shaping"
	"github.com/hayauma/hayauma/internal/source"
)

// Every call that there is; send.go and domain.go have those that stream.

// The calls on domains, accounts and aliases.
var (
	DomainAdd    = Call[DomainSettings, Empty]{"domain/add"}
	DomainSet    = Call[DomainSettings, Empty]{"domain/set"}
	DomainRemove = Call[DomainName, Empty]{"domain/remove"}
	DomainList   = Call[Empty, []account.DomainInfo]{"domain/list"}

	RecipientAdd    = Call[Recipient, Empty]{"domain/recipient/add"}
	RecipientRemove = Call[Recipient, Empty]{"domain/recipient/remove"}
	RecipientList   = Call[RecipientPage, []string]{"domain/recipient/list"}

	AccountAdd      = Call[AccountLogin, Empty]{"account/add"}
	AccountRemove   = Call[AccountName, AccountLeft]{"account/remove"}
	AccountPasswd   = Call[AccountLogin, Empty]{"account/passwd"}
	AccountQuota    = Call[AccountSettings, Empty]{"account/quota"}
	AccountLanguage = Call[AccountSettings, Empty]{"account/language"}
	AccountList     = Call[Empty, []AccountInfo]{"account/list"}

	AppPasswordAdd    = Call[AppPassword, NewPassword]{"app-password/add"}
	AppPasswordRevoke = Call[AppPassword, Empty]{"app-password/revoke"}
	AppPasswordList   = Call[AccountName, []AppPasswordInfo]{"app-password/list"}

	IdentityAdd    = Call[Identity, Empty]{"identity/add"}
	IdentityRemove = Call[Identity, Empty]{"identity/remove"}
	IdentityList   = Call[AccountName, []string]{"identity/list"}

	AliasAdd    = Call[account.Alias, AliasAdded]{"alias/add"}
	AliasRemove = Call[AliasName, Empty]{"alias/remove"}
	AliasList   = Call[Empty, []account.Alias]{"alias/list"}
)

// The calls on those who guess at passwords.
var (
	LoginList = Call[LoginFilter, []event.Event]{"login/list"}

	BanList  = Call[Empty, []ban.Entry]{"ban/list"}
	BanClear = Call[BanFilter, Cleared]{"ban/clear"}
)

// The calls on how much may be sent. The first two answer what holds then.
var (
	AccountLimit = Call[LimitChange, []rate.Usage]{"account/limit"}
	DomainLimit  = Call[LimitChange, []rate.Usage]{"domain/limit"}
	HoldList     = Call[Empty, []HoldInfo]{"account/hold/list"}
	HoldRelease  = Call[AccountName, Empty]{"account/hold/release"}
)

// The calls on access rules.
var (
	PolicyAdd    = Call[PolicyAddition, PolicyPosition]{"policy/add"}
	PolicyRemove = Call[PolicyName, Empty]{"policy/remove"}
	PolicyMove   = Call[PolicyPlace, PolicyPosition]{"policy/move"}
	PolicyTurn   = Call[PolicySwitch, Empty]{"policy/turn"}
	PolicyList   = Call[Empty, []rule.Rule]{"policy/list"}
	PolicyTest   = Call[rule.Question, rule.Trial]{"policy/test"}
)

// The calls on the ways by which mail leaves.
var (
	RouteSet        = Call[RouteChange, Empty]{"route/set"}
	RouteRemove     = Call[RouteName, Empty]{"route/remove"}
	RouteList       = Call[Empty, []route.Route]{"route/list"}
	RouteRuleSet    = Call[route.Rule, Empty]{"route/rule/set"}
	RouteRuleRemove = Call[route.Rule, Empty]{"route/rule/remove"}
	RouteRuleList   = Call[Empty, []route.Rule]{"route/rule/list"}
)

// The calls on messages.
var (
	QueueList    = Call[QueueFilter, []QueueEntry]{"queue/list"}
	QueueShow    = Call[MessageName, QueueMessage]{"queue/show"}
	QueueRetry   = Call[QueueFilter, Touched]{"queue/retry"}
	QueueHold    = Call[QueueFilter, Touched]{"queue/hold"}
	QueueRelease = Call[QueueFilter, Touched]{"queue/release"}
	QueueBounce  = Call[QueueFilter, Touched]{"queue/bounce"}
	QueueDelete  = Call[QueueFilter, Touched]{"queue/delete"}
	QueueReroute = Call[QueueWay, Touched]{"queue/reroute"}

	ScheduleSet    = Call[MailSchedule, Empty]{"queue/schedule/set"}
	ScheduleRemove = Call[MailName, Empty]{"queue/schedule/remove"}
	ScheduleList   = Call[Empty, []MailSchedule]{"queue/schedule/list"}

	OutboundExplain = Call[Destination, Explained]{"outbound/explain"}
	OutboundLimit   = Call[ProviderLimits, []SiteLimit]{"outbound/limit"}
	OutboundList    = Call[Empty, []ProviderState]{"outbound/list"}
	OutboundReports = Call[Empty, []SentReport]{"outbound/reports"}

	SourcePoolSet    = Call[source.PoolChange, source.Pool]{"source/pool/set"}
	SourcePoolRemove = Call[SourcePool, Empty]{"source/pool/remove"}
	SourcePoolList   = Call[Empty, []source.Pool]{"source/pool/list"}
	SourceAdd        = Call[source.Addition, source.Address]{"source/add"}
	SourceRemove     = Call[SourceName, Empty]{"source/remove"}
	SourcePlan       = Call[SourceQuestion, []source.Plan]{"source/plan"}
	SourceRuleSet    = Call[source.Rule, Empty]{"source/rule/set"}
	SourceRuleRemove = Call[source.Rule, Empty]{"source/rule/remove"}
	SourceRuleList   = Call[Empty, []source.Rule]{"source/rule/list"}
	ReplyAdd         = Call[shaping.Rule, shaping.Rule]{"outbound/reply/add"}
	ReplyRemove      = Call[ReplyRule, Empty]{"outbound/reply/remove"}
	ReplyList        = Call[ProviderName, []shaping.Rule]{"outbound/reply/list"}
	ReplyTest        = Call[ReplyQuestion, ReplyAnswer]{"outbound/reply/test"}
	OutboundEvents   = Call[ProviderPast, []ProviderEvent]{"outbound/events"}

	Recall = Call[MessageName, Touched]{"recall"}
	Trace  = Call[MessageName, []event.Timeline]{"trace"}
)

// The calls on the server itself.
var (
	Check = Call[Empty, []string]{"check"}
)
