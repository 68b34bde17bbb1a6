// Package move copies a whole server to other engines and back, as people do it with `hayauma storage copy`.
//
// Everything is in the tests. A server is filled over its own doors
// (fill_test.go), looked at over its own protocols (picture_test.go, client_test.go),
// copied by a process that is killed on its way (process_test.go), and looked at
// again where it went (copy_test.go).
package move
