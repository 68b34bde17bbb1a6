package mailbox

import "github.com/hayauma/hayauma/internal/mail"

// Role is the special use of a mailbox, a lower-case word of RFC 6154 §2
// without its backslash; empty for none.
type Role string

// The roles that a new account's mailboxes have. INBOX has RoleInbox, which
// IMAP does not announce.
const (
	RoleInbox   Role = "inbox"
	RoleDrafts  Role = "drafts"
	RoleSent    Role = "sent"
	RoleJunk    Role = "junk"
	RoleTrash   Role = "trash"
	RoleArchive Role = "archive"
)

// Mailbox is one mailbox of an account.
type Mailbox struct {
	ID, Account mail.ID
	Name        string // UTF-8, levels divided by "/", "INBOX" in upper case
	Role        Role
	UIDValidity uint32
	UIDNext     uint32
	Modseq      int64 // of the last change to its messages
	Subscribed  bool
	NoSelect    bool // a name that only holds other mailboxes
	Children    bool // holds other mailboxes; set by List
}

// Status is a mailbox and its counters.
type Status struct {
	Mailbox
	Messages, Recent, Unseen, Deleted uint32
	Size                              int64 // octets of all messages
}
