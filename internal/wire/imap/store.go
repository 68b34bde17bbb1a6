package imap

// StoreMode is what STORE does to the flags of a message.
type StoreMode uint8

// The modes of RFC 3501 §6.4.6.
const (
	StoreReplace StoreMode = iota
	StoreAdd
	StoreRemove
)

// Store is the STORE or UID STORE command. RFC 3501 §6.4.6
type Store struct {
	Set  SeqSet
	UID  bool
	Mode StoreMode
	// Silent asks for no untagged FETCH of the outcome.
	Silent bool
	Flags  []Flag
}

// Expunge is the EXPUNGE command, or UID EXPUNGE with its set. RFC 3501
// §6.4.3, RFC 4315 §2.1
type Expunge struct {
	UID bool
	Set SeqSet
}

// Copy is the COPY or UID COPY command. RFC 3501 §6.4.7
type Copy struct {
	Set     SeqSet
	UID     bool
	Mailbox string
}

// Move is the MOVE or UID MOVE command. RFC 6851 §3.1
type Move struct {
	Set     SeqSet
	UID     bool
	Mailbox string
}

func (d *Decoder) store(uid bool) Request {
	d.space()
	req := Store{UID: uid, Set: d.seqSet()}
	d.space()
	switch {
	case d.take('+'):
		req.Mode = StoreAdd
	case d.take('-'):
		req.Mode = StoreRemove
	}
	switch d.keyword("FLAGS") {
	case "FLAGS":
	case "FLAGS.SILENT":
		req.Silent = true
	default:
		d.fail("expected FLAGS")
	}
	d.space()
	if d.peek() == '(' {
		req.Flags = d.flagList()
	} else {
		req.Flags = d.flags()
	}
	d.finish()
	return req
}

func (d *Decoder) uidExpunge() Request {
	d.space()
	req := Expunge{UID: true, Set: d.seqSet()}
	d.finish()
	return req
}

func (d *Decoder) copy(uid bool) Request {
	d.space()
	set := d.seqSet()
	return Copy{UID: uid, Set: set, Mailbox: d.oneMailbox()}
}

func (d *Decoder) move(uid bool) Request {
	d.space()
	set := d.seqSet()
	return Move{UID: uid, Set: set, Mailbox: d.oneMailbox()}
}
