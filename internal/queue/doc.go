// Package queue keeps every message until each of its recipients is served,
// refused or given up.
//
// # States of a recipient
//
// Each arrow is one commit, so that a crash leaves the state before it or the
// one behind it. In brackets: who moves, and what a crash just before the
// commit costs.
//
//	(new)     Queued    accept   the memory budget is spent,
//	                             or it is to wait (RFC 4865)  [no 250 was said]
//	(new)     Leased    accept   handed over in memory        [no 250 was said]
//	(new)     Held      accept   the setting hold             [no 250 was said]
//	(new)     Served    accept   filed with the 250, and its
//	                             sender wants to know         [no 250 was said]
//	Queued    Leased    claim    due at Next                  [still queued]
//	Deferred  Leased    claim    due at Next                  [still deferred]
//	Leased    (gone)    result   the remote took it           [it gets a second copy: SMTP cannot rule that out]
//	Leased    Served    result   the same, and the sender
//	                             wants to know of it          [as before]
//	Leased    Deferred  result   a temporary failure          [as Recover]
//	Leased    Failed    result   a permanent failure, or a
//	                             temporary one after Expires,
//	                             or its provider rests then   [the attempt is repeated]
//	Leased    Queued    result   not tried, or the server
//	                             stopped before the reply     [as Recover]
//	Leased    Held      result   the wish to hold is granted  [Recover grants it]
//	Leased    Queued    recover  its owner is dead            [still leased: the next start recovers]
//	Leased    Held      recover  a wish to hold or delete     [still leased]
//	Leased    Failed    recover  a wish to bounce             [still leased]
//	Queued    Held      admin    hold
//	Deferred  Held      admin    hold
//	Held      Queued    admin    release
//	Deferred  Queued    admin    retry
//	Queued    Failed    admin    bounce
//	Deferred  Failed    admin    bounce
//	Held      Failed    admin    bounce
//	any       (gone)    admin    delete; a leased one leaves with its result
//	Queued    (gone)    admin    recall, before its time has come
//	Held      (gone)    admin    recall, before the first attempt
//	Served    (gone)    admin    recall: a group, with its members
//	Failed    (gone)    settle   in the commit that holds its report
//	Served    (gone)    settle   in the commit that holds its report
//
// A leased recipient belongs to the attempt: hold, bounce and delete leave a
// wish on its row, which is granted before the attempt starts, before the next
// transaction of an attempt that has several, or with its result, unless the remote has
// taken the message by then. After a crash a recipient that was to be deleted is held, so
// that somebody looks at it. One that was leased counts as tried then, by one attempt at
// least: a host may have the message, so that it cannot be recalled. The waits go by what
// attempts found.
//
// Hold makes the operator the holder of a recipient that is held with its account,
// without an arrow of its own: the release of the account leaves it.
//
// Retry, and a change of limits or rules, make due what is queued and rests since nothing
// went to its provider, without an arrow: it stays queued. Nothing goes before NotBefore.
// After the clock was set back, what waits for longer than anything asked for is pulled in,
// without an arrow.
//
// Reroute changes where a recipient goes without an arrow of its own: one that is
// deferred is queued, as by retry, one on hold stays so, and a leased one is left to its
// attempt.
//
// # Reports
//
// Failed and Served recipients wait for their report as long as others of their message
// are Leased, or due, and at most for a minute: for one that an attempt ended, Next is
// when that was. So one report tells of all that end together, and a crash forgets
// nothing of it.
//
// # Sites that are down
//
// A site none of whose hosts could be reached, or lets anybody in (421), is tried by one
// message at a time, after waits from half a minute to a quarter of an hour. What comes due for it
// meanwhile has the finding of that attempt as if it had been tried itself, but
// that a finding from before the end of its lifetime does not end it. Once a host
// takes up a message, all that waits for the site for that reason is due. A process takes
// the sites over from the last one by that reason, which stands in the rows.
//
// # What may arrive twice
//
// A message that its host took, and of which that is not recorded, goes out again after a
// crash or a takeover. So no worker gets a new job while a commit of results has been
// under way for a second, while some wait for one that is slow, or more than a commit
// holds for the next; a transaction that has begun goes on. A job of several, as where each
// recipient has a return path of his own, reports what is settled before each of them, and
// goes on by the same rules: a crash repeats the one that was under way. Nor does one get a
// job when no commit of the queue's came through for some seconds, as after a time in which the machine, or the
// process, was stopped: the database is asked first whether it is still this process's.
//
// # Leases
//
// A row is leased by a process, which has an id of its own, and for as long as
// that process lives: an engine that only one process can open needs no clock
// for this. A result counts only while the row is still leased by the process
// that brings it, and by the same claim: one whose commit lost its answer may come
// a second time.
package queue
