package stackroom

import (
	"testing"
	"unsafe"
)

// deep takes some 10 KiB in thirty frames.
//
//go:noinline
func deep(n int) byte {
	var frame [256]byte
	frame[n] = byte(n)
	if n > 0 {
		frame[0] = deep(n - 1)
	}
	return frame[n] + frame[0]
}

// moves tells whether the stack moves while a new goroutine goes deep.
func moves(before func()) bool {
	got := make(chan bool)
	go func() {
		before()
		var mark byte
		at := uintptr(unsafe.Pointer(&mark))
		deep(30)
		got <- at != uintptr(unsafe.Pointer(&mark))
	}()
	return <-got
}

func TestReserve(t *testing.T) {
	if !moves(func() {}) {
		t.Skip("new stacks are large enough as it is")
	}
	moved := 0
	for range 100 {
		if moves(Reserve) {
			moved++ // the collector may have made it smaller meanwhile
		}
	}
	if moved > 10 {
		t.Errorf("the stack has moved in %d of 100 goroutines although room was reserved", moved)
	}
}

func BenchmarkDeep(b *testing.B) {
	for name, before := range map[string]func(){"reserved": Reserve, "grown": func() {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				moves(before)
			}
		})
	}
}
