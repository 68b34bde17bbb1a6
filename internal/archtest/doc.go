// Package archtest holds the rules of the source tree as tests: who may import
// whom, how large a file may be, and what code must not contain.
//
// The tables in layers.go and allow.go are where a reviewed exception goes; each
// has its reason beside it.
package archtest
