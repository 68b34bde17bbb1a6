// Package sim runs the queue and the relay through days of trouble, one step at
// a time, and repeats any of its runs from a number.
//
// The real queue and the real outbound work over the real embedded engine, in
// the bubble of testing/synctest, whose clock is driven by hand. Every call by
// which they touch the world outside (a read or write of the database, a body, a
// DNS question, a dial, what a connection brings, the start and the end of a
// worker and each of its jobs, a sleep of the scheduler) waits at a gate. One
// loop opens one gate at a time, chosen by the seed, and goes on only when
// everybody stands at a gate again. So goroutines run, but never two at once
// where it could matter, and the same seed leads to the same trace.
//
// In between the loop brings mail, lets somebody hold, release, retry, bounce,
// delete and recall, has reports written, changes the temper of remote hosts
// and of DNS, stops the server or kills it at any step, and lets the clock go
// on. A remote host is a state machine in memory that speaks SMTP: slow,
// greylisting, saying 421 after some messages, dropping the connection behind
// the final dot, lying about SIZE, silent, with broken TLS, a tarpit. At the
// seam of the database a commit fails, or happens and its answer is lost or
// late, or runs twice; a body cannot be read for now, or only in part. In some
// worlds most sites share a provider, which has limits and wants to be left alone
// for a while after a 421.
//
// After a while all trouble ends, and within the lifetime of the mail everything
// must be settled.
//
// # What must hold
//
//   - A recipient that was accepted is in the queue, was taken by a remote, is
//     reported to the sender, or was taken out by somebody: one of these, after
//     every commit.
//   - A remote has a message a second time only where its first 250 did not come
//     through, or the process died before it recorded it. What it takes is whole.
//   - A recipient fails only by what a remote or DNS said of it, by an attempt
//     that failed after the lifetime, or by hand.
//   - A recipient on hold, or one whose time has not come, is not attempted.
//   - The attempts of a row are those that were told of, and one that died with its
//     process if that was the first; no lease outlives its process; limits on workers
//     hold; memory is given back.
//
// Every seed of `make sim` runs a second time, and its trace must be the same; of
// those of the ordinary tests one in five does.
//
// Torn disks are not the matter here: see test/power.
//
//	make sim SEEDS=1000
//	make sim SEED=17        repeats one with its trace
package sim
