package imap

// Command is one command as the client sent it.
type Command struct {
	// Tag is to be repeated in the tagged reply.
	Tag string
	// Name is in upper case, such as "SELECT" or "UID FETCH".
	Name string
	// Request holds the arguments; its type tells the command.
	Request Request
}

// Request is implemented by the types of this package that hold the arguments
// of a command.
type Request interface{ isRequest() }

// Unknown is a command whose name this package does not know, or which may
// not follow UID. The answer is BAD.
type Unknown struct{}

// Capability is the CAPABILITY command. RFC 3501 §6.1.1
type Capability struct{}

// Noop is the NOOP command. RFC 3501 §6.1.2
type Noop struct{}

// Logout is the LOGOUT command. RFC 3501 §6.1.3
type Logout struct{}

// StartTLS is the STARTTLS command. RFC 3501 §6.2.1
type StartTLS struct{}

// Check is the CHECK command. RFC 3501 §6.4.1
type Check struct{}

// Close is the CLOSE command. RFC 3501 §6.4.2
type Close struct{}

// Unselect is the UNSELECT command. RFC 3691
type Unselect struct{}

// Idle is the IDLE command; a line DONE follows, see Decoder.ReadLine. RFC
// 2177
type Idle struct{}

// Namespace is the NAMESPACE command. RFC 2342
type Namespace struct{}

func (Unknown) isRequest()      {}
func (Capability) isRequest()   {}
func (Noop) isRequest()         {}
func (Logout) isRequest()       {}
func (StartTLS) isRequest()     {}
func (Check) isRequest()        {}
func (Close) isRequest()        {}
func (Unselect) isRequest()     {}
func (Idle) isRequest()         {}
func (Namespace) isRequest()    {}
func (ID) isRequest()           {}
func (Authenticate) isRequest() {}
func (Login) isRequest()        {}
func (Select) isRequest()       {}
func (Create) isRequest()       {}
func (Delete) isRequest()       {}
func (Rename) isRequest()       {}
func (Subscribe) isRequest()    {}
func (Unsubscribe) isRequest()  {}
func (List) isRequest()         {}
func (Lsub) isRequest()         {}
func (Status) isRequest()       {}
func (Append) isRequest()       {}
func (Expunge) isRequest()      {}
func (Search) isRequest()       {}
func (Fetch) isRequest()        {}
func (Store) isRequest()        {}
func (Copy) isRequest()         {}
func (Move) isRequest()         {}

// command takes the whole command whose first line has been read.
//
// RFC 3501 §2.2.1
func (d *Decoder) command() Request {
	tag := d.run(isTagChar)
	if len(tag) == 0 || len(tag) > maxTag || !d.take(' ') {
		d.fail("expected a tag, a space and a command")
		return nil
	}
	d.tag = string(tag)
	name := d.run(isAtomChar)
	if len(name) == 0 {
		d.fail("expected a command")
		return nil
	}
	table := commands
	d.name = upper(name)
	if d.name == "UID" && d.take(' ') {
		table = uidCommands
		d.name = "UID " + d.keyword("a command")
	}
	v, ok := table[d.name]
	if !ok {
		return d.unknown()
	}
	switch v.literals {
	case forStrangers:
		d.literals = d.limits.LoginLiteral
	case forUsers:
		d.literals = d.limits.Literal
	}
	return v.parse(d)
}

// unknown passes over the arguments. They are not parsed, so a synchronising
// literal stays unasked for.
func (d *Decoder) unknown() Request {
	if d.err != nil || d.drain() != nil {
		return nil
	}
	return Unknown{}
}
