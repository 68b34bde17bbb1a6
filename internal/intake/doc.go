// Package intake takes responsibility for a message, once: it resolves each
// recipient, files local copies, queues remote ones, records the events in one
// commit, and only then lets the door say 250.
//
// Whatever can differ per recipient is decided at RCPT, by Resolve, the door's
// policy and Add. After the content there is one reply for all, but over LMTP:
//
//	case                                         reply          what becomes of it
//	-------------------------------------------  -------------  ----------------------------------------
//	all recipients filed or queued               250            one commit
//	content too big                              552 5.3.4      nothing is kept
//	header too big                               552 5.3.4      nothing is kept
//	more than 100 Received fields                554 5.4.6      nothing is kept: a loop
//	body store or database full                  452 4.3.1      nothing is kept
//	body store, database: any other error        451 4.3.0      nothing is kept
//	an account vanished since RCPT, others live  250            filed for the others; the sender is told of it
//	the same over LMTP                           550 5.1.1      for that recipient, 250 for the others
//	all accounts vanished since RCPT             451 4.3.0      the sender tries again and then gets 550
//	more came than SIZE said, nobody has room    452, 552 5.2.2 nothing is kept
//	the same, others have                        250            queued for the site "local", tried until there is room; 552 if never
//	the same over LMTP                           452, 552 5.2.2 for that recipient, 250 for the others
//	the same transaction again, reply unseen     250            not filed twice; event "duplicate"
//	local recipients beyond the first hundred    250            queued for the site "local"
//	a group's member has no room, others do      250            queued for the site "local", tried until it has; 552 if never
//	a group's member leads nowhere               250            the queue refuses it and tells the sender
//	a report to a return path, nothing new       250            noted, nothing is kept
//	content that begins with a folded line       250            a field of ours stands before it
package intake
