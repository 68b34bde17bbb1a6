package pop3d

import "context"

// The response codes of RFC 2449 §8 and RFC 3206 §4.
const (
	codeInUse     = "IN-USE"
	codeAuth      = "AUTH"
	codeTemporary = "SYS/TEMP"
)

// reply is what a command leads to. Handlers return it and write nothing.
type reply struct {
	status string // "+OK", "-ERR" or "+", which asks on
	code   string // a response code, or empty
	text   string
	// body makes it a multi-line response: it adds the lines to s.out, passing
	// them on as they become many, and the dot at the end.
	body  func(ctx context.Context) error
	close bool // the session ends behind it
	// then reads on and gives the next reply.
	then func(context.Context) reply
}

func ok(text string) reply           { return reply{status: "+OK", text: text} }
func refuse(code, text string) reply { return reply{status: "-ERR", code: code, text: text} }

// failed tells whether the command did not do what it was asked for.
func (r reply) failed() bool { return r.status == "-ERR" }

// append writes the status line; a reply without status has none.
func (r reply) append(b []byte) []byte {
	if r.status == "" {
		return b
	}
	b = append(append(b, r.status...), ' ')
	if r.code != "" {
		b = append(append(append(b, '['), r.code...), "] "...)
	}
	return append(append(b, r.text...), "\r\n"...)
}
