package imap

import "time"

// Search is the SEARCH or UID SEARCH command. RFC 3501 §6.4.4
type Search struct {
	UID bool
	// Charset of the texts in Key, in upper case; empty if none was named,
	// which means US-ASCII.
	Charset string
	Key     Key
}

// KeyOp is what a Key asks of a message.
type KeyOp uint8

// The keys of RFC 3501 §6.4.4. ANSWERED, UNSEEN, KEYWORD, NEW, OLD and their
// like are all told by KeyFlag and KeyNoFlag.
const (
	KeyAll        KeyOp = iota + 1
	KeyAnd              // Keys: all of them; a list, or two keys side by side
	KeyOr               // Keys: one of the two
	KeyNot              // Keys: not the one
	KeySeq              // Set of sequence numbers
	KeyUID              // Set of UIDs
	KeyFlag             // Flag is set
	KeyNoFlag           // Flag is not set
	KeyHeader           // header Field has Text in it; no Text: it is there
	KeyFrom             // Text in From
	KeyTo               // Text in To
	KeyCc               // Text in Cc
	KeyBcc              // Text in Bcc
	KeySubject          // Text in Subject
	KeyBody             // Text in the body
	KeyText             // Text in header or body
	KeyBefore           // internal date before the day Date
	KeyOn               // internal date on the day Date
	KeySince            // internal date on the day Date or later
	KeySentBefore       // as KeyBefore, of the header Date
	KeySentOn           // as KeyOn, of the header Date
	KeySentSince        // as KeySince, of the header Date
	KeyLarger           // more octets than Size
	KeySmaller          // fewer octets than Size
)

// Key is one search key: a tree by And, Or and Not.
type Key struct {
	Op    KeyOp
	Keys  []Key
	Set   SeqSet
	Flag  Flag
	Field string
	// Text is in the charset of the search, as sent.
	Text string
	// Date is midnight UTC of a day without a zone.
	Date time.Time
	Size int64
}

func (d *Decoder) search(uid bool) Request {
	req := Search{UID: uid}
	d.space()
	if d.takeWord("CHARSET") {
		d.space()
		req.Charset = upper(d.astring())
		d.space()
	}
	req.Key = d.keyList(1)
	d.finish()
	return req
}

// takeWord passes the atom word, if that is what comes next.
func (d *Decoder) takeWord(word string) bool {
	start := d.pos
	if upper(d.run(isAtomChar)) == word {
		return true
	}
	d.pos = start
	return false
}

// keyList takes one key or more with spaces between; more than one make an And.
func (d *Decoder) keyList(depth int) Key {
	keys := []Key{d.key(depth)}
	for d.peek() == ' ' && d.pos+1 < len(d.line) {
		d.space()
		keys = append(keys, d.key(depth))
	}
	if len(keys) == 1 {
		return keys[0]
	}
	return Key{Op: KeyAnd, Keys: keys}
}

func (d *Decoder) key(depth int) Key {
	d.keys++
	if depth > d.limits.Depth {
		d.fail("search keys nest too deep")
	}
	if d.keys > d.limits.Items {
		d.fail("too many search keys")
	}
	switch c := d.peek(); {
	case c == '(':
		d.pos++
		k := d.keyList(depth + 1)
		d.expect(')', "the end of a list of search keys")
		return k
	case c == '*' || '0' <= c && c <= '9':
		return Key{Op: KeySeq, Set: d.seqSet()}
	}
	name := d.keyword("a search key")
	if name == "NEW" {
		// RFC 3501 §6.4.4: the same as (RECENT UNSEEN).
		return Key{Op: KeyAnd, Keys: []Key{
			{Op: KeyFlag, Flag: FlagRecent}, {Op: KeyNoFlag, Flag: FlagSeen},
		}}
	}
	row, ok := searchKeys[name]
	if !ok {
		d.fail("unknown search key")
		return Key{}
	}
	k := Key{Op: row.op, Flag: row.flag}
	d.operands(&k, row.shape, depth)
	return k
}

func (d *Decoder) operands(k *Key, shape keyShape, depth int) {
	if shape == shapeNone {
		return
	}
	d.space()
	switch shape {
	case shapeText:
		k.Text = d.astring()
	case shapeHeader:
		k.Field = d.astring()
		d.space()
		k.Text = d.astring()
	case shapeDate:
		k.Date = d.date()
	case shapeSize:
		k.Size = d.number()
	case shapeKeyword:
		k.Flag = Flag(d.atom("a keyword"))
	case shapeUID:
		k.Set = d.seqSet()
	case shapeNot:
		k.Keys = []Key{d.key(depth + 1)}
	case shapeOr:
		first := d.key(depth + 1)
		d.space()
		k.Keys = []Key{first, d.key(depth + 1)}
	}
}
