package sasl

import "errors"

// IsFault tells whether an error says that the client did not keep to its
// mechanism, and not that it could not be checked.
func IsFault(err error) bool {
	for _, fault := range []error{ErrCancelled, ErrSyntax, ErrBase64, ErrAuthzid} {
		if errors.Is(err, fault) {
			return true
		}
	}
	return false
}
