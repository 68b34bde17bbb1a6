package imap

// MailboxLine is one line of a LIST or LSUB response.
type MailboxLine struct {
	// Attributes such as `\Noselect` or `\Sent`.
	Attributes []string
	// Flat says that the name has no hierarchy, and so no delimiter.
	Flat bool
	Name string
}

// The attributes of mailboxes. RFC 3501 §7.2.2, RFC 3348 §3, RFC 6154 §2
const (
	AttrNoinferiors   = `\Noinferiors`
	AttrNoselect      = `\Noselect`
	AttrMarked        = `\Marked`
	AttrUnmarked      = `\Unmarked`
	AttrHasChildren   = `\HasChildren`
	AttrHasNoChildren = `\HasNoChildren`
	AttrAll           = `\All`
	AttrArchive       = `\Archive`
	AttrDrafts        = `\Drafts`
	AttrFlagged       = `\Flagged`
	AttrJunk          = `\Junk`
	AttrSent          = `\Sent`
	AttrTrash         = `\Trash`
)

// List writes one mailbox of LIST. RFC 3501 §7.2.2
func (e *Encoder) List(line MailboxLine) { e.mailboxLine("LIST", line) }

// Lsub writes one mailbox of LSUB. RFC 3501 §7.2.3
func (e *Encoder) Lsub(line MailboxLine) { e.mailboxLine("LSUB", line) }

func (e *Encoder) mailboxLine(name string, line MailboxLine) {
	e.buf = append(e.buf, '*', ' ')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, ' ', '(')
	for i, attr := range line.Attributes {
		if i > 0 {
			e.buf = append(e.buf, ' ')
		}
		e.buf = append(e.buf, attr...)
	}
	if line.Flat {
		e.buf = append(e.buf, ") NIL "...)
	} else {
		e.buf = append(e.buf, `) "/" `...)
	}
	e.mailbox(line.Name)
	e.endLine()
}

// mailbox appends a mailbox name, always in quotes or as an atom, since
// modified UTF-7 is printable ASCII.
func (e *Encoder) mailbox(name string) {
	e.buf = AppendAString(e.buf, EncodeMailbox(name))
}

// StatusValue is one item of a STATUS response.
type StatusValue struct {
	Item  StatusItem
	Value uint64
}

// Status writes the outcome of STATUS. RFC 3501 §7.2.4
func (e *Encoder) Status(mailbox string, values []StatusValue) {
	e.buf = append(e.buf, "* STATUS "...)
	e.mailbox(mailbox)
	e.buf = append(e.buf, ' ', '(')
	for i, v := range values {
		if i > 0 {
			e.buf = append(e.buf, ' ')
		}
		e.buf = append(e.buf, v.Item...)
		e.buf = append(e.buf, ' ')
		e.number(v.Value)
	}
	e.buf = append(e.buf, ')')
	e.endLine()
}

// NamespacePrefixes are the prefixes of the three kinds of namespaces; a kind
// without prefixes does not exist.
type NamespacePrefixes struct{ Personal, Others, Shared []string }

// Namespace writes the namespaces. RFC 2342 §5
func (e *Encoder) Namespace(n NamespacePrefixes) {
	e.buf = append(e.buf, "* NAMESPACE"...)
	for _, prefixes := range [3][]string{n.Personal, n.Others, n.Shared} {
		if len(prefixes) == 0 {
			e.buf = append(e.buf, " NIL"...)
			continue
		}
		e.buf = append(e.buf, ' ', '(')
		for _, prefix := range prefixes {
			e.buf = append(e.buf, '(')
			e.buf = AppendString(e.buf, EncodeMailbox(prefix))
			e.buf = append(e.buf, ` "/")`...)
		}
		e.buf = append(e.buf, ')')
	}
	e.endLine()
}

// ID writes what the server says of itself. RFC 2971 §3.2
func (e *Encoder) ID(fields []IDField) {
	if len(fields) == 0 {
		e.buf = append(e.buf, "* ID NIL"...)
		e.endLine()
		return
	}
	e.buf = append(e.buf, "* ID ("...)
	for i, f := range fields {
		if i > 0 {
			e.buf = append(e.buf, ' ')
		}
		e.buf = AppendString(e.buf, f.Name)
		e.buf = append(e.buf, ' ')
		e.buf = AppendNString(e.buf, f.Value)
	}
	e.buf = append(e.buf, ')')
	e.endLine()
}
