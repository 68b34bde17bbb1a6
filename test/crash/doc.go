// Package crash kills the real server, fills its disk and damages its store, and looks for what it lost.
//
// Everything is in the tests: a kill at random moments under load (crash_test.go,
// load_test.go, found_test.go), a full disk (full_test.go), a damaged store
// (damage_test.go).
package crash
