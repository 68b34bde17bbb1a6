// Package sevenbit rewrites a message so that a host which takes 7-bit mail
// only can have it: leaf parts are encoded, their headers say so, and every
// other octet stays as it is.
//
//   - Inspect reads a message once and reports what it has.
//   - Report.Plan finds what is to change, or the Obstacle that forbids it.
//   - Report.Fold finds where header lines are folded that are too long.
//   - Plan.WriteTo streams the new message, as often as it is asked to.
//   - Join makes one source of a prefix and a stored body.
//
// A message is 7-bit if it is 7bit data of RFC 2045 §2.7: no octet beyond
// ASCII, no NUL, lines of up to 998 octets that end in CRLF, no other CR or LF.
// One that is already so does not change, whatever its fields say.
//
// What a conversion would break is the caller's to ask: it changes what a DKIM
// signature of the message covers (Report.Sealed). Inside multipart/signed and
// multipart/encrypted nothing is ever changed.
//
// Memory is bounded whatever the message: one header at a time, a structure of
// up to a thousand parts, and buffers.
package sevenbit
