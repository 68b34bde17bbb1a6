// Package s3 is the body store in a bucket of any S3 service: bytes in objects
// that many bodies share, rows in the database.
//
// # Objects
//
//	<prefix>/bodies/<object id>  an index, then bodies one behind the other
//	<prefix>/probe/<id>          stored, read and deleted to see whether that works
//
// Bodies up to blob.InMemory that are committed at the same time share an
// object; a larger one has an object to itself and is sent in parts if it is
// long. An object is written once and never changed. Its index is text (see
// index.go): `head` on an object shows which bodies it holds and whose they are,
// and with the bytes that is enough to make the rows anew. The bucket should
// keep no old versions, else what was deleted is still there.
//
// A large body lies in a file without a name until Commit, because it can be
// read back before, which the parts of an upload cannot.
//
// # Order of work
//
//	reserve   rows of objects as intents, many in one commit
//	commit    PUT of an object that has an intent, then everyone is answered
//	record    the object kept and the rows of its bodies, in the caller's transaction
//	sweep     rows of bodies deleted and committed, their octets counted as dead
//	settle    an object of which nothing more will be recorded: what never was is dead
//	condemn   an object without bodies, in a commit; then DELETE; then the row says
//	          erased; an hour or more later DELETE again, and the row goes
//	compact   PUT of a new object that has an intent; then, in one commit, new places,
//	          the new object kept and the old one condemned
//
// A crash between any two steps loses nothing and leaves nothing for ever:
//
//	before PUT       an intent without an object: condemned
//	PUT without      an intent with an object that nobody was told of, or whose
//	  record         message was not accepted: condemned
//	condemned        deleted by the next sweep
//	DELETE unknown   still condemned: deleted again
//	erased           a PUT that timed out may land even now: hence the second DELETE
//	in compaction    the old places count until the commit; the new object is an intent
//
// So a row always points at stored bytes, and every object that may be there has
// a row. An object leaves the states in which Record accepts it in a commit
// before it is deleted, and never comes back: whatever a slow process thinks, it
// cannot record a body that is being deleted. Its message is then refused for
// the time being, not lost.
//
// # Who may condemn
//
// A process knows on which of its objects something still rests: those reserved,
// those being sent, and those with a body that may still be recorded. Objects of
// other processes count as left after four hours, which is longer than a body
// can take from intent to Record (see options.go). Rows are locked in the order
// of objects, then bodies, each by id.
//
// # Checksums
//
// SHA-256, cut to 16 octets, over each block of 256 KiB with the body id and the
// block number in front; they are kept in the body's row. Nothing is given to a
// reader before its block was compared. What does not match is read once more.
// The sums find damage and confusion, whoever made it, as long as the database
// is right. Requests that store carry a SHA-256 of what they send, which the
// service compares.
//
// # Reads
//
// A reader moves through a body by blocks; where it goes forward one request
// brings four. Verified blocks are kept in a cache with a limit of octets, also
// those of small bodies just committed. A reader whose object is gone reads the
// row again, because the body may have been moved.
//
// # Failures
//
// Requests have a limit of time and are repeated with growing pauses where that
// may help. An error of Commit or Open is temporary, but for blob.ErrNotFound
// and blob.ErrCorrupt. After three objects in a row that could not be stored
// Health says so, requests that store are no longer repeated, and the store tries
// by itself until something can be stored again.
//
// # Concurrency
//
// The committer goroutine gathers bodies and has up to four objects on their way
// at once; each is sent by a goroutine of its own. The prober is the third kind.
// Lock order: sweep, intents; the locks of places, cache, pending bodies and
// health are leaves.
package s3
