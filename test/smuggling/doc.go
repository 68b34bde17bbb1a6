// Package smuggling attacks the real binary with everything that some host takes
// for the end of a message, and counts: one message in is one message out.
//
// What comes in is written in many ways, cut at every octet of what is no end.
// What goes out is kept octet for octet and read again as hosts would that are
// less strict than they should be.
package smuggling
