package postgres

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hayauma/hayauma/internal/db"
)

var (
	errEnded     = errors.New("postgres: the transaction has ended")
	errNoRow     = errors.New("postgres: no row to scan")
	errNotUs     = errors.New("another process has taken the database over: this one writes no more until a restart")
	errArguments = errors.New("postgres: wrong number of arguments")
)

// SQLSTATE codes, PostgreSQL 15 appendix A.
const (
	codeWarning           = "01000"
	codeNotNull           = "23502"
	codeForeignKey        = "23503"
	codeUnique            = "23505"
	codeReadOnly          = "25006"
	codeSerialization     = "40001"
	codeDeadlock          = "40P01"
	codeDiskFull          = "53100"
	codeTooManyConns      = "53300"
	codeLockNotAvailable  = "55P03"
	codeQueryCanceled     = "57014"
	codeAdminShutdown     = "57P01"
	codeCrashShutdown     = "57P02"
	codeCannotConnectNow  = "57P03"
	codeIdleSession       = "57P05"
	codeIdleInTransaction = "25P03"
	codeDataCorrupted     = "XX001"
	codeIndexCorrupted    = "XX002"
)

// fault is what PostgreSQL, or the way to it, said. It is one of the errors of
// package db as well, where that is its meaning.
type fault struct {
	err  error
	kind error // db.ErrConflict ... or nil
}

func (f *fault) Error() string { return "postgres: " + f.err.Error() }

func (f *fault) Unwrap() []error {
	if f.kind == nil {
		return []error{f.err}
	}
	return []error{f.err, f.kind}
}

// wrap gives an error of pgx its meaning.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*fault](err); done {
		return err
	}
	return &fault{err: err, kind: kind(err)}
}

func kind(err error) error {
	switch code(err) {
	case "":
		if isNetwork(err) {
			return db.ErrUnavailable
		}
		return nil
	case codeUnique:
		return db.ErrConflict
	case codeDiskFull:
		return db.ErrFull
	case codeDataCorrupted, codeIndexCorrupted:
		return db.ErrCorrupt
	case codeReadOnly, codeTooManyConns, codeLockNotAvailable, codeQueryCanceled, codeAdminShutdown, codeCrashShutdown,
		codeCannotConnectNow, codeIdleSession, codeIdleInTransaction, codeSerialization, codeDeadlock:
		return db.ErrUnavailable
	}
	return nil
}

// code is the SQLSTATE of err, "" if the server did not say it.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// isNetwork tells whether err is about the connection.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || pgconn.Timeout(err)
}

// certain tells whether the server answered a COMMIT with an error that means
// that it did not commit. A connection that ends, FATAL included, says nothing.
func certain(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.SeverityUnlocalized == "ERROR"
}

// again tells whether a transaction that surely did not commit is worth another
// try at once: the connection was lost, or parallel transactions were in each
// other's way. A foreign key may miss a row that a parallel one just removed;
// the second try sees that.
func again(err error, tries int) bool {
	switch code(err) {
	case codeForeignKey:
		return tries < 2
	case codeSerialization, codeDeadlock:
		return tries < 20
	case codeReadOnly, codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow, codeTooManyConns, codeIdleSession,
		codeIdleInTransaction:
		return true
	case "":
		return isNetwork(err)
	}
	return false
}
