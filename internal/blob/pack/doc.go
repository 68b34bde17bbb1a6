// Package pack is the embedded body store: bytes in preallocated pack files
// that many bodies share a sync of, rows in the database.
//
// # Files
//
//	secret               32 random bytes, the key of every checksum
//	lock                 held while a store is open
//	packs/0000000007.pack  a pack: a header, then entries at multiples of 8
//	large/<body id>      one body above blob.InMemory
//
// A pack is written only below the point up to which it was filled with zeros
// and synced before, so that the sync of a group has no file size or extent to
// journal. Pack numbers and body ids are never used twice.
//
// # Order of work
//
//	create a pack   create, header (and zeros), fsync, sync of packs/, row, only then bodies
//	commit          write the group, fdatasync, answer everyone
//	settle          write the group, tell the places; fdatasync while the rows are
//	                written, which are committed only behind it
//	commit (large)  write, fsync, sync of large/, answer
//	record          the row, in the caller's transaction
//	sweep           rows deleted and committed, then large files unlinked
//	compact         copy to the active pack, sync, commit the new places, row
//	                marked gone, unlink, sync of packs/, row deleted
//
// So a row always points at synced bytes, and bytes without a row were never
// acknowledged to anyone.
//
// # Checksums
//
// GMAC (AES-128-GCM without plaintext) under keys derived from the secret: with
// hardware support it takes about 1 us for 5 KB, a third or less of HMAC-SHA-256.
// The bytes of a body are summed in blocks of 64 KiB with the body id and block
// number as nonce; the entry header, which holds that sum, is summed with pack
// number and offset as nonce. Neither mail content nor an entry left at another
// place can pass. The sum finds damage and confusion; it does not defend against
// someone who can read the secret.
//
// # Concurrency
//
// The committer goroutine alone writes bodies to the active pack. The keeper
// goroutine alone makes, extends and seals packs, and writes only behind what
// the committer may use. Lock order: sweep, keeper; the locks of places, pending
// bodies and file handles are leaves.
package pack
