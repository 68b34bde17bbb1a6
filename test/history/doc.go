// Package history runs one long random history of operations on both SQL
// engines in lockstep and compares every answer with a model in plain memory.
//
// The parts of the domain (accounts, mailboxes, queue, intake, events, bodies)
// are put together twice: over the embedded engine and over PostgreSQL. An
// operation is drawn by a look at the model alone, and names accounts, mailboxes
// and messages by numbers of the model, so both worlds are asked the same. What
// each answers, values and kinds of errors, must be what the model says. From
// time to time everything there is to read is compared as well, with a Check of
// both engines and of the bodies at the end.
//
// The model knows neither SQL nor the code it judges, only what its comments
// promise. What depends on the order of goroutines is driven to rest before it
// is compared.
//
//	HAYAUMA_HISTORY=200000 go test -run TestHistory ./test/history
//	HAYAUMA_SEED=17        repeats a history that failed
package history
