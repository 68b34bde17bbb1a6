// Package mailbox keeps the messages of accounts in mailboxes.
//
// A message is one row (mailbox, UID) with flags and a prefix of its own, over
// a body and a content row (structure, threading keys) that all its copies
// share. Each change takes the next value of its account's one modseq counter,
// so rows and tombstones in order of modseq are the account's change log.
// A View is one session's frozen picture of a mailbox; Poll moves it on.
package mailbox
