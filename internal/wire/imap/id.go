package imap

// ID is the ID command: what the client says of itself. RFC 2971 §3.1
type ID struct {
	// Fields are in the order sent; none for NIL.
	Fields []IDField
}

// IDField is one pair of an ID command or response. Both strings are data of
// the peer and carry no trust.
type IDField struct {
	Name string
	// Value is empty for NIL.
	Value string
}

// RFC 2971 §3.3
const (
	maxIDFields = 30
	maxIDName   = 30
	maxIDValue  = 1024
)

func (d *Decoder) id() Request {
	d.space()
	var req ID
	if d.peek() != '(' {
		d.null()
		d.finish()
		return req
	}
	d.expect('(', "a list")
	for d.err == nil && !d.take(')') {
		if len(req.Fields) > 0 {
			d.space()
		}
		var f IDField
		f.Name = d.text()
		d.space()
		if c := d.peek(); c == '"' || c == '{' {
			f.Value = d.text()
		} else {
			d.null()
		}
		if len(req.Fields) == maxIDFields || len(f.Name) > maxIDName || len(f.Value) > maxIDValue {
			d.fail("too much in ID")
		}
		req.Fields = append(req.Fields, f)
	}
	d.finish()
	return req
}

// null takes NIL.
func (d *Decoder) null() {
	if d.keyword("a string or NIL") != "NIL" {
		d.fail("expected a string or NIL")
	}
}
