// Package load drives a mail server on loopback with real SMTP, LMTP, IMAP and
// POP3 dialogues and measures what it reaches.
//
// The package is neutral: it knows no server's inside, only the protocols, and
// every peer is measured by the same generator. It refuses each address that is
// not loopback, so it cannot be turned on somebody else's server.
//
// The parts: [Source] sends, [Sink] receives and forgets, [ReadIMAP], [HoldIdle]
// and [ReadPOP3] read, [Meter] weighs the server's processes. [Run] is the
// command line over all of them, and its bench command runs whole peers in turn.
package load
