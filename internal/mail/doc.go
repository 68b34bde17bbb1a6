// Package mail holds the words that every other package speaks: addresses,
// domains, identifiers, statuses and faults. It does no I/O.
package mail
