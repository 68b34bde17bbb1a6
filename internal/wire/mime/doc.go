// Package mime is the offset-based structure parser of an Internet message.
//
// Nothing here fails on a broken message: what cannot be understood is a
// text/plain part or an empty value, and the bytes stay reachable by offset.
//
//   - Parse and Parser find the structure in one pass with bounded memory.
//   - Part answers IMAP BODYSTRUCTURE, ENVELOPE and section addresses.
//   - Marshal and Unmarshal keep a Part in a database row.
//   - Header walks raw header bytes; HeaderScanner does so chunk by chunk.
//   - DecodeWords, DecodeParam, TextReader and ParseDate turn raw values into
//     text and times.
//
// Lines end with CR LF or with a bare LF; a bare CR is an ordinary byte.
package mime
