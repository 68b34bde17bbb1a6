package classify

import "slices"

// Class is why a delivery failed. The set is closed: events, metrics and filters use
// these words.
type Class string

const (
	// BadMailbox says: there is no such mailbox. A sender takes the address off its lists;
	// trying again does harm.
	BadMailbox Class = "bad-mailbox"
	// InactiveMailbox says: the mailbox is closed, suspended, abandoned or has moved. As
	// with BadMailbox, but it may open again.
	InactiveMailbox Class = "inactive-mailbox"
	// BadDomain says: the recipient's domain does not exist, or takes no mail. The address
	// has a typing error, or its domain is gone.
	BadDomain Class = "bad-domain"
	// Full says: the recipient's mailbox has no room. It passes, or the mailbox is
	// abandoned says: give up after some weeks.
	Full Class = "full"
	// TooLarge says: the message is larger than the host or the mailbox takes. Send a link
	// instead of the attachment.
	TooLarge Class = "too-large"
	// Policy says: a rule of the recipient or of their administrator refuses it. They must
	// be asked.
	Policy Class = "policy"
	// Spam says: a filter takes this message for spam. Look at what was sent, and to whom.
	Spam Class = "spam"
	// Reputation says: the sending address or domain is on a block list, or has a bad name.
	// Find out why, mend it, ask for removal.
	Reputation Class = "reputation"
	// Authentication says: SPF, DKIM, DMARC or ARC is missing or failed. Mend the DNS
	// records or the signing of the From domain.
	Authentication Class = "authentication"
	// Identity says: the sending host has no reverse DNS, a bad HELO, or the address of a
	// dial-up line. Its administrator mends that.
	Identity Class = "identity"
	// BadSender says: the sender's address or domain does not exist, or may not send here.
	// The sender uses another.
	BadSender Class = "bad-sender"
	// Content says: the message has a virus, a forbidden attachment, or is malformed. The
	// program that wrote it must mend it.
	Content Class = "content"
	// Rate says: too many messages, connections or recipients at once. Send more slowly;
	// the queue does.
	Rate Class = "rate"
	// Greylisted says: the host wants to be asked again. Nothing is wrong.
	Greylisted Class = "greylisted"
	// System says: the receiving host is broken, busy, out of disk space or being mended.
	// It is theirs to mend; the queue waits.
	System Class = "system"
	// Login says: a login is asked for or was refused. Look at the account at the smart
	// host.
	Login Class = "login"
	// TLS says: encryption is missing, or a certificate or policy (DANE, MTA-STS) does not
	// allow it. The side that lacks it mends it.
	TLS Class = "tls"
	// DNS says: a look-up failed for now, or names lead nowhere. The domain's administrator
	// mends its name servers.
	DNS Class = "dns"
	// Network says: no connection, or it was lost. Look at routes and firewalls if it is
	// everywhere.
	Network Class = "network"
	// Protocol says: the two hosts did not understand each other. One of them has an error,
	// or a device between them.
	Protocol Class = "protocol"
	// RelayDenied says: the host does not take mail for that domain from us. Its MX records
	// or its settings are wrong.
	RelayDenied Class = "relay-denied"
	// Routing says: mail goes in circles. The recipient's administrator mends forwarding or
	// MX records.
	Routing Class = "routing"
	// Expired says: its time was over before it was delivered.
	Expired Class = "expired"
	// Other says: the reply does not say.
	Other Class = "other"
)

// All are the classes, in the order of the documentation.
func All() []Class {
	return []Class{
		BadMailbox, InactiveMailbox, BadDomain, Full, TooLarge, Policy, Spam, Reputation, Authentication, Identity,
		BadSender, Content, Rate, Greylisted, System, Login, TLS, DNS, Network, Protocol, RelayDenied, Routing, Expired, Other,
	}
}

// Parse returns the class of a name; false if there is none.
func Parse(name string) (Class, bool) {
	return Class(name), slices.Contains(All(), Class(name))
}
