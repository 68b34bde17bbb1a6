// Package e2e drives the real binary from outside: programs that we did not
// write send mail in and read it, and two servers relay to each other.
package e2e
