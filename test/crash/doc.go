// Package crash kills the real server, fills its disk and damages its store, and looks for what it lost.
//
// Everything is in the tests: a kill at random moments under load (crash_test.go,
// load_test.go, found_test.go), two servers that relay and are killed in turn
// (relay_test.go, balance_test.go), a database or a store of bodies that is killed
// (outage_test.go), a full disk (full_test.go), a damaged store (damage_test.go).
package crash
