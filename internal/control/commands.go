package control

import (
	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// Every call that there is; send.go has the one that streams.

// The calls on domains, accounts and aliases.
var (
	DomainAdd    = Call[DomainName, Empty]{"domain/add"}
	DomainRemove = Call[DomainName, Empty]{"domain/remove"}
	DomainList   = Call[Empty, []account.DomainInfo]{"domain/list"}

	AccountAdd    = Call[AccountLogin, Empty]{"account/add"}
	AccountRemove = Call[AccountName, Empty]{"account/remove"}
	AccountPasswd = Call[AccountLogin, Empty]{"account/passwd"}
	AccountQuota  = Call[AccountSettings, Empty]{"account/quota"}
	AccountList   = Call[Empty, []AccountInfo]{"account/list"}

	AliasAdd    = Call[account.Alias, Empty]{"alias/add"}
	AliasRemove = Call[AliasName, Empty]{"alias/remove"}
	AliasList   = Call[Empty, []account.Alias]{"alias/list"}
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

	Trace = Call[MessageName, []event.Timeline]{"trace"}
)

// The calls on the server itself.
var (
	Check = Call[Empty, []string]{"check"}
)
