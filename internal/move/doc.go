// Package move copies an installation from one pair of engines to another: the
// rows of the domain packages and the bodies that they refer to, every id kept.
//
// # Order of work
//
//	begin    the target is empty, or holds a part of a copy from this source
//	copying  bodies in the order of their ids, then tables in the order in
//	         which they were declared, so that foreign keys hold
//	verifying  bodies and tables again, read from both sides and compared
//	complete  the target may be served
//
// Everything goes in slices. A slice and how far it came are one transaction of
// the target, so a copy that was ended anywhere goes on behind its last slice.
// Until it is complete, State tells that the target must not be served.
//
// The source must not be served meanwhile, nor between two runs: what changed
// behind the copy's back is found by the comparison, and then the copy has to
// begin again on an empty target. Nothing is written to the source.
//
// # What is copied
//
// The tables that the given schemas create; those of the engines and of the body
// stores are their own. Migrations leave rows of their own in an empty target
// (the tenant main). They are deleted when the copy begins and come back as the
// source has them: to skip what is there already would keep the target's row
// where the source's was changed since.
//
// A text that is no UTF-8, or has a NUL, is stored as db.Text has it, by every
// engine; the comparison reads the source's texts in the same way. In a key it
// is refused, because two keys could become one.
package move
