package imap

type literalKind uint8

const (
	forStrangers literalKind = iota
	forUsers
)

// verb is how the arguments of a command are taken, and how large a literal
// among them may be.
type verb struct {
	parse    func(*Decoder) Request
	literals literalKind
}

var commands = map[string]verb{
	"CAPABILITY":   {bare(Capability{}), forStrangers},
	"NOOP":         {bare(Noop{}), forStrangers},
	"LOGOUT":       {bare(Logout{}), forStrangers},
	"STARTTLS":     {bare(StartTLS{}), forStrangers},
	"ID":           {(*Decoder).id, forStrangers},
	"AUTHENTICATE": {(*Decoder).authenticate, forStrangers},
	"LOGIN":        {(*Decoder).login, forStrangers},
	"SELECT":       {(*Decoder).selectMailbox, forUsers},
	"EXAMINE":      {(*Decoder).examine, forUsers},
	"CREATE":       {(*Decoder).create, forUsers},
	"DELETE":       {(*Decoder).remove, forUsers},
	"RENAME":       {(*Decoder).rename, forUsers},
	"SUBSCRIBE":    {(*Decoder).subscribe, forUsers},
	"UNSUBSCRIBE":  {(*Decoder).unsubscribe, forUsers},
	"LIST":         {(*Decoder).list, forUsers},
	"LSUB":         {(*Decoder).lsub, forUsers},
	"STATUS":       {(*Decoder).status, forUsers},
	"APPEND":       {(*Decoder).appendMessage, forUsers},
	"NAMESPACE":    {bare(Namespace{}), forUsers},
	"IDLE":         {bare(Idle{}), forUsers},
	"CHECK":        {bare(Check{}), forUsers},
	"CLOSE":        {bare(Close{}), forUsers},
	"UNSELECT":     {bare(Unselect{}), forUsers},
	"EXPUNGE":      {bare(Expunge{}), forUsers},
	"SEARCH":       {func(d *Decoder) Request { return d.search(false) }, forUsers},
	"FETCH":        {func(d *Decoder) Request { return d.fetch(false) }, forUsers},
	"STORE":        {func(d *Decoder) Request { return d.store(false) }, forUsers},
	"COPY":         {func(d *Decoder) Request { return d.copy(false) }, forUsers},
	"MOVE":         {func(d *Decoder) Request { return d.move(false) }, forUsers},
}

// RFC 3501 §6.4.8, RFC 4315 §2.1, RFC 6851 §3.2
var uidCommands = map[string]verb{
	"UID SEARCH":  {func(d *Decoder) Request { return d.search(true) }, forUsers},
	"UID FETCH":   {func(d *Decoder) Request { return d.fetch(true) }, forUsers},
	"UID STORE":   {func(d *Decoder) Request { return d.store(true) }, forUsers},
	"UID COPY":    {func(d *Decoder) Request { return d.copy(true) }, forUsers},
	"UID MOVE":    {func(d *Decoder) Request { return d.move(true) }, forUsers},
	"UID EXPUNGE": {(*Decoder).uidExpunge, forUsers},
}

// bare is the parser of a command without arguments.
func bare(req Request) func(*Decoder) Request {
	return func(d *Decoder) Request {
		d.finish()
		return req
	}
}
