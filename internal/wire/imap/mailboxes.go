package imap

// Select is the SELECT or EXAMINE command. RFC 3501 §6.3.1, §6.3.2
type Select struct {
	Mailbox string
	// ReadOnly says that it is EXAMINE.
	ReadOnly bool
}

// Create is the CREATE command. RFC 3501 §6.3.3
type Create struct {
	// Mailbox may end in the hierarchy delimiter, as sent.
	Mailbox string
}

// Delete is the DELETE command. RFC 3501 §6.3.4
type Delete struct{ Mailbox string }

// Rename is the RENAME command. RFC 3501 §6.3.5
type Rename struct{ From, To string }

// Subscribe is the SUBSCRIBE command. RFC 3501 §6.3.6
type Subscribe struct{ Mailbox string }

// Unsubscribe is the UNSUBSCRIBE command. RFC 3501 §6.3.7
type Unsubscribe struct{ Mailbox string }

// List is the LIST command; see NewPattern for what its strings mean. RFC
// 3501 §6.3.8
type List struct{ Reference, Pattern string }

// Lsub is the LSUB command. RFC 3501 §6.3.9
type Lsub struct{ Reference, Pattern string }

// Status is the STATUS command. RFC 3501 §6.3.10
type Status struct {
	Mailbox string
	Items   []StatusItem
}

// StatusItem is what STATUS can tell of a mailbox.
type StatusItem string

// The items of RFC 3501 §6.3.10.
const (
	StatusMessages    StatusItem = "MESSAGES"
	StatusRecent      StatusItem = "RECENT"
	StatusUIDNext     StatusItem = "UIDNEXT"
	StatusUIDValidity StatusItem = "UIDVALIDITY"
	StatusUnseen      StatusItem = "UNSEEN"
)

// mailbox takes a mailbox name. One that is no modified UTF-7 cannot exist:
// the command is then answered with NO, but parsed to its end first.
//
// RFC 3501 §5.1.3
func (d *Decoder) mailbox() string { return d.mailboxOr(isAStringChar) }

func (d *Decoder) mailboxOr(ok func(byte) bool) string {
	raw := d.textOr(ok)
	if d.err != nil {
		return ""
	}
	name, err := DecodeMailbox(raw)
	if err != nil && d.refused == nil {
		d.refused = d.refusal(NO, CodeCannot, "mailbox name is not valid modified UTF-7")
	}
	return name
}

// oneMailbox takes the arguments of a command that has one mailbox.
func (d *Decoder) oneMailbox() string {
	d.space()
	name := d.mailbox()
	d.finish()
	return name
}

func (d *Decoder) selectMailbox() Request { return Select{Mailbox: d.oneMailbox()} }
func (d *Decoder) examine() Request       { return Select{Mailbox: d.oneMailbox(), ReadOnly: true} }
func (d *Decoder) create() Request        { return Create{Mailbox: d.oneMailbox()} }
func (d *Decoder) remove() Request        { return Delete{Mailbox: d.oneMailbox()} }
func (d *Decoder) subscribe() Request     { return Subscribe{Mailbox: d.oneMailbox()} }
func (d *Decoder) unsubscribe() Request   { return Unsubscribe{Mailbox: d.oneMailbox()} }

func (d *Decoder) rename() Request {
	d.space()
	from := d.mailbox()
	to := d.oneMailbox()
	return Rename{From: from, To: to}
}

func (d *Decoder) list() Request {
	reference, pattern := d.listArguments()
	return List{Reference: reference, Pattern: pattern}
}

func (d *Decoder) lsub() Request {
	reference, pattern := d.listArguments()
	return Lsub{Reference: reference, Pattern: pattern}
}

func (d *Decoder) listArguments() (reference, pattern string) {
	d.space()
	reference = d.mailbox()
	d.space()
	pattern = d.mailboxOr(isListChar)
	d.finish()
	return reference, pattern
}

func (d *Decoder) status() Request {
	d.space()
	req := Status{Mailbox: d.mailbox()}
	d.space()
	d.expect('(', "a list of items")
	for d.err == nil {
		item := StatusItem(d.keyword("a status item"))
		switch item {
		case StatusMessages, StatusRecent, StatusUIDNext, StatusUIDValidity, StatusUnseen:
		default:
			d.fail("unknown status item")
		}
		req.Items = append(req.Items, item)
		if len(req.Items) > d.limits.Items {
			d.fail("too many items")
		}
		if d.take(')') {
			break
		}
		d.space()
	}
	d.finish()
	return req
}
