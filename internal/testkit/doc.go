// Package testkit gives tests real peers to talk to.
//
// It holds a DNS server and a scripted mail exchanger on loopback, connections
// in memory that work inside a testing/synctest bubble, test certificates, the
// runner of golden dialogs, and the start and end of the real binary. Only
// tests import it.
package testkit
