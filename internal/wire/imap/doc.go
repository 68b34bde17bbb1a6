// Package imap is the pure grammar of IMAP4rev1 commands and responses.
//
// A [Decoder] reads one whole command at a time, literals included, and
// yields a typed [Request]; an [Encoder] appends response lines to a buffer.
// Neither knows sockets, sessions or mailboxes. The grammar is that of RFC
// 3501 with IDLE (RFC 2177), NAMESPACE (RFC 2342), ID (RFC 2971), UNSELECT
// (RFC 3691), UIDPLUS (RFC 4315), SASL-IR (RFC 4959), MOVE (RFC 6851) and
// LITERAL+ (RFC 7888).
//
// Mailbox names are UTF-8 everywhere in the exported values; the modified
// UTF-7 of the wire is undone by the Decoder and redone by the Encoder.
package imap
