package mime

import "slices"

// Envelope holds the values that IMAP ENVELOPE returns: unfolded, encoded
// words kept. Names decode with DecodeWords.
// RFC 3501 §7.4.2
type Envelope struct {
	Date      string
	Subject   string
	From      []Address
	Sender    []Address // From where the header has none
	ReplyTo   []Address // From where the header has none
	To        []Address
	Cc        []Address
	Bcc       []Address
	InReplyTo string
	MessageID string
}

// field takes one header field, its name in lower case, and tells how many
// addresses it added.
func (e *Envelope) field(name []byte, f Field, limit int) int {
	switch string(name) {
	case "date":
		first(&e.Date, f)
	case "subject":
		first(&e.Subject, f)
	case "in-reply-to":
		first(&e.InReplyTo, f)
	case "message-id":
		first(&e.MessageID, f)
	case "from":
		return firstList(&e.From, f, limit)
	case "sender":
		return firstList(&e.Sender, f, limit)
	case "reply-to":
		return firstList(&e.ReplyTo, f, limit)
	// Receivers in a second field are receivers all the same.
	case "to":
		return addList(&e.To, f, limit)
	case "cc":
		return addList(&e.Cc, f, limit)
	case "bcc":
		return addList(&e.Bcc, f, limit)
	}
	return 0
}

func firstList(list *[]Address, f Field, limit int) int {
	if *list != nil {
		return 0
	}
	return addList(list, f, limit)
}

func addList(list *[]Address, f Field, limit int) int {
	n := len(*list)
	*list = appendAddresses(*list, f.Text(), limit)
	return len(*list) - n
}

func (e *Envelope) complete() {
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
}

// sameAddresses is false for two empty lists that differ in being nil.
func sameAddresses(a, b []Address) bool {
	return (a == nil) == (b == nil) && slices.Equal(a, b)
}
