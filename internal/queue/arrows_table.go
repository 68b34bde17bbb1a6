package queue

// mover is who takes a recipient from one state to another.
type mover uint8

const (
	byAccept mover = iota + 1
	byClaim
	byResult
	byRecover
	byAdmin
	bySettle
)

// gone stands for a recipient that has no row: not yet, or not any more.
const gone State = 0

// arrow is a move that is allowed.
type arrow struct {
	from, to State
	by       mover
}

// arrows are all moves; doc.go tells them in words.
var arrows = map[arrow]bool{
	{gone, Queued, byAccept}:     true,
	{gone, Leased, byAccept}:     true,
	{gone, Held, byAccept}:       true,
	{Queued, Leased, byClaim}:    true,
	{Deferred, Leased, byClaim}:  true,
	{Leased, gone, byResult}:     true,
	{gone, Served, byAccept}:     true,
	{Leased, Served, byResult}:   true,
	{Leased, Deferred, byResult}: true,
	{Leased, Failed, byResult}:   true,
	{Leased, Queued, byResult}:   true,
	{Leased, Held, byResult}:     true,
	{Leased, Queued, byRecover}:  true,
	{Leased, Held, byRecover}:    true,
	{Leased, Failed, byRecover}:  true,
	{Queued, Held, byAdmin}:      true,
	{Deferred, Held, byAdmin}:    true,
	{Held, Queued, byAdmin}:      true,
	{Deferred, Queued, byAdmin}:  true,
	{Queued, Failed, byAdmin}:    true,
	{Deferred, Failed, byAdmin}:  true,
	{Held, Failed, byAdmin}:      true,
	{Queued, gone, byAdmin}:      true,
	{Deferred, gone, byAdmin}:    true,
	{Held, gone, byAdmin}:        true,
	{Failed, gone, byAdmin}:      true,
	{Served, gone, byAdmin}:      true,
	{Failed, gone, bySettle}:     true,
	{Served, gone, bySettle}:     true,
}

// may tells whether a mover may take a recipient from one state to another.
func may(from, to State, by mover) bool { return arrows[arrow{from, to, by}] }
