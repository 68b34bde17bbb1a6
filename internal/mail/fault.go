package mail

import (
	"errors"
	"fmt"
)

// Class is the first digit of a reply: what the peer should do next.
type Class uint8

// The classes of RFC 3463 §3.1.
const (
	Success   Class = 2
	Transient Class = 4
	Permanent Class = 5
)

// Status says what happened, without its class: one row of codes.go. Code and
// enhanced code are derived from the row and a class chosen last, so that they
// cannot disagree.
type Status struct {
	Subject, Detail uint8  // RFC 3463 §3.2
	Temp, Perm      uint16 // basic SMTP codes for the two failing classes
}

// Enhanced returns the code "c.s.d" of RFC 3463 for a class.
func (s Status) Enhanced(c Class) string {
	return fmt.Sprintf("%d.%d.%d", c, s.Subject, s.Detail)
}

// Code returns the three-digit SMTP code for a failing class.
func (s Status) Code(c Class) int {
	if c == Permanent {
		return int(s.Perm)
	}
	return int(s.Temp)
}

// Fault is an error that knows its public sentence. The peer sees Status, Class
// and Public; the log sees Cause as well.
type Fault struct {
	Status Status
	Class  Class
	Public string // one sentence, ASCII, for the peer
	Cause  error  // may be nil
}

// Temporary returns a fault that the peer should try again.
func Temporary(s Status, public string) *Fault {
	return &Fault{Status: s, Class: Transient, Public: public}
}

// Final returns a fault that the peer should not try again.
func Final(s Status, public string) *Fault {
	return &Fault{Status: s, Class: Permanent, Public: public}
}

// Because returns a copy of f with a cause for the log.
func (f Fault) Because(err error) *Fault {
	f.Cause = err
	return &f
}

// Code returns the three-digit SMTP code.
func (f *Fault) Code() int { return f.Status.Code(f.Class) }

// Enhanced returns the enhanced status code.
func (f *Fault) Enhanced() string { return f.Status.Enhanced(f.Class) }

func (f *Fault) Error() string {
	s := fmt.Sprintf("%d %s %s", f.Code(), f.Enhanced(), f.Public)
	if f.Cause != nil {
		s += ": " + f.Cause.Error()
	}
	return s
}

func (f *Fault) Unwrap() error { return f.Cause }

// AsFault returns the fault in err's chain. An error without one is unknown,
// and an unknown error is temporary: 451 4.3.0. A nil error is no fault.
func AsFault(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return Temporary(SystemError, "Temporary failure here, please try again later").Because(err)
}
