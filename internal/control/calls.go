package control

import "github.com/hayauma/hayauma/internal/account"

// DomainName names a domain.
type DomainName struct {
	Domain string `json:"domain"`
}

// AccountName names an account by its address.
type AccountName struct {
	Address string `json:"address"`
}

// AccountLogin is an account with its new password.
type AccountLogin struct {
	Address  string `json:"address"`
	Password string `json:"password"`
	SCRAM    bool   `json:"scram,omitempty"` // it is for SCRAM too
}

// AppPassword is one of an account; Revoke looks at its name alone.
type AppPassword struct {
	Address  string   `json:"address"`
	Name     string   `json:"name"`
	Scopes   []string `json:"scopes,omitempty"`
	Networks []string `json:"networks,omitempty"`
	Expires  string   `json:"expires,omitempty"` // RFC 3339, empty = never
}

// NewPassword is a password that was just made.
type NewPassword struct {
	Password string `json:"password"`
}

// AppPasswordInfo is an app password as it is listed.
type AppPasswordInfo struct {
	Name     string   `json:"name"`
	Scopes   []string `json:"scopes"`
	Networks []string `json:"networks,omitempty"`
	Created  string   `json:"created"`           // RFC 3339
	Expires  string   `json:"expires,omitempty"` // RFC 3339, empty = never
	Used     string   `json:"used,omitempty"`    // about when, RFC 3339; empty = never
	UsedFrom string   `json:"used_from,omitempty"`
}

// DefaultQuota is the quota of an account that has none of its own.
const DefaultQuota = account.DefaultQuota

// AccountSettings are what can be set of an account.
type AccountSettings struct {
	Address  string `json:"address"`
	Quota    int64  `json:"quota"`              // octets, 0 = none, DefaultQuota = as mail.quota says
	Language string `json:"language,omitempty"` // "en" or "ja"
}

// AccountInfo is an account as it is listed.
type AccountInfo struct {
	Address  string `json:"address"`
	ID       string `json:"id"`
	Quota    int64  `json:"quota"`                   // octets, 0 = none
	Default  bool   `json:"quota_default,omitempty"` // that quota is mail.quota
	Used     int64  `json:"used"`                    // octets
	Messages int64  `json:"messages"`
	Language string `json:"language,omitempty"` // "en" or "ja", empty = not set: English
	Created  string `json:"created"`            // RFC 3339
}

// Identity is an address, or "*@domain", that an account may send as.
type Identity struct {
	Address  string `json:"address"` // of the account
	Identity string `json:"identity"`
}

// AliasName names an alias by its address or "*@domain".
type AliasName struct {
	Address string `json:"address"`
}

// AliasAdded tells which targets of a new alias lead to nobody: no error, since they
// may be made later.
type AliasAdded struct {
	Nowhere []string `json:"nowhere,omitempty"`
}

// AccountLeft is what an account leaves behind that was removed.
type AccountLeft struct {
	ID      string   `json:"id"`                // by which its mail in the queue is found
	Aliases []string `json:"aliases,omitempty"` // that still lead to it
	Waiting int      `json:"waiting,omitempty"` // recipients in the queue of what it sent
	Held    int      `json:"held,omitempty"`    // those of them on hold
}

// MessageName names a message by its id or its Message-ID.
type MessageName struct {
	Message string `json:"message"`
}

// QueueFilter says which recipients in the queue are meant.
type QueueFilter struct {
	IDs    []string `json:"ids,omitempty"` // of messages or recipients
	All    bool     `json:"all,omitempty"`
	Domain string   `json:"domain,omitempty"` // of the recipient
	Route  string   `json:"route,omitempty"`  // by which it goes
	Sender string   `json:"sender,omitempty"`
	State  string   `json:"state,omitempty"`
	Host   string   `json:"host,omitempty"` // where the last attempt was made
	// Provider takes the mail of the recipient's domain.
	Provider string `json:"provider,omitempty"`
	Tenant   string `json:"tenant,omitempty"`  // its name
	Account  string `json:"account,omitempty"` // whose login sent the message: its address or id
	Stream   string `json:"stream,omitempty"`  // of the message
	Reply    string `json:"reply,omitempty"`   // a part of the last reply's line, with its codes
	Class    string `json:"class,omitempty"`   // of the last failure
	Tag      string `json:"tag,omitempty"`     // of the message
	Before   string `json:"before,omitempty"`  // received before this time, RFC 3339
	Limit    int    `json:"limit,omitempty"`   // recipients; of QueueList at most MaxList+1, 0 = that
	DryRun   bool   `json:"dry_run,omitempty"`
}

// Who asks for a list of the queue holds it in memory, so it is bounded: by
// DefaultList recipients where nobody asks for another number, and by MaxList
// in any case. One more may be asked for, which tells whether there are more.
const (
	DefaultList = 1000
	MaxList     = 100_000
)

// QueueEntry is one recipient in the queue.
type QueueEntry struct {
	Message   string `json:"message"`
	ID        string `json:"id"`
	State     string `json:"state"`
	Sender    string `json:"sender"`
	Recipient string `json:"recipient"`
	Route     string `json:"route,omitempty"` // by which it goes
	Size      int64  `json:"size"`
	Received  string `json:"received"` // RFC 3339
	Next      string `json:"next,omitempty"`
	Expires   string `json:"expires"`
	Why       string `json:"why,omitempty"` // it is not moving
	Attempts  int    `json:"attempts"`
	Code      int    `json:"code,omitempty"`
	Enhanced  string `json:"enhanced,omitempty"`
	Reply     string `json:"reply,omitempty"`
	Host      string `json:"host,omitempty"`
	Class     string `json:"class,omitempty"` // of the last failure: see package classify
}

// QueueMessage is a message in the queue with its header.
type QueueMessage struct {
	Entries []QueueEntry `json:"recipients"`
	Header  string       `json:"header"`
}

// QueueWay says which recipients get which way: a route, or "mx" for none.
type QueueWay struct {
	QueueFilter
	To string `json:"to"`
}

// Touched is how many recipients a verb changed.
type Touched struct {
	Recipients int `json:"recipients"`
	// UnderWay follow with the result of their attempt, unless that ends their story; of
	// QueueReroute they are left alone.
	UnderWay int `json:"under_way,omitempty"`
	Untold   int `json:"untold,omitempty"` // of both: no sender wants to hear if they fail
}

// Sent is the answer to Send.
type Sent struct {
	Message string `json:"message"`
}
