package imap

// Limits bounds what a peer can make a Decoder hold or walk through. All
// sizes are in octets.
type Limits struct {
	// Line is the longest line, its line end included, literals excluded.
	Line int
	// Command is the most that one command may hold in all, literals
	// included but without the message of APPEND.
	Command int64
	// LoginLiteral is the largest literal of a command that a stranger may
	// send: one that is valid before login, or an unknown one.
	LoginLiteral int64
	// Literal is the largest literal of any other command.
	Literal int64
	// Message is the largest message that APPEND takes.
	Message int64
	// Depth is how deep search keys may nest.
	Depth int
	// Items is how many elements a list may have: flags, fetch items, header
	// names, and all keys of one SEARCH together.
	Items int
	// Ranges is how many ranges a sequence set may name.
	Ranges int
}

// DefaultLimits returns limits that every common client stays within, for
// messages of up to messageSize octets.
func DefaultLimits(messageSize int64) Limits {
	return Limits{
		Line:         64 << 10,
		Command:      256 << 10,
		LoginLiteral: 4 << 10,
		Literal:      64 << 10,
		Message:      messageSize,
		Depth:        100,
		Items:        1000,
		Ranges:       10000,
	}
}
