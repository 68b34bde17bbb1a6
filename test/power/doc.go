// Package power replays what a server did to its disk and stops at any moment,
// as a loss of power would.
//
// The order of work: strace records every operation of the real binary on its
// files and every reply that it writes to a socket (strace.go, scan.go). The log
// becomes operations on files and folders (parse.go). A Disk takes them one after
// the other and knows for each file and folder which of them a completed sync has
// made durable (disk.go). At a cut it writes the folder as a disk may hold it
// after the power went (rebuild.go): what was synced and nothing else, or with a
// random part of the rest.
//
// # What counts as durable
//
// A write is durable when a sync of its file began after the write had returned,
// and has returned itself. A name is durable when a sync of its folder did the
// same after the name was made, changed or removed. Nothing else helps: not the
// sync of a file for its name, not time, not the order of the operations. That is
// less than the usual file systems promise, so what survives here survives there.
// What lived on before the server started is durable.
//
// The unsynced rest survives by pages of 4 KiB, each in any of the states that it
// had since the last sync, by any of the sizes that the file had since, and by
// any subset of the changes to names.
//
// # Relaying
//
// The record also holds what the server wrote to the host that it relays to. Up to
// the final dot of a message that host cannot have it, so behind a cut before it
// the message must go out; behind a later one it may go out once more, but only if
// the history that survived knows of no delivery. Each folder is started with that
// host in reach, and is looked at when nothing is due any more.
//
// # What is left out
//
// The index of SQLite's log (*-shm) is memory shared between connections: its
// content is written by no call and is never synced, and SQLite builds it anew
// from the log when it opens a database that nobody has open. So it does not
// survive a cut. Nor does a socket, which is a name and nothing else. Shared writable memory of any other file is an error, as is every
// call that the replay does not know.
package power
