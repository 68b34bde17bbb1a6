package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/hayauma/hayauma/internal/blob"
)

var (
	errClosed  = errors.New("the body store is closed")
	errOffset  = errors.New("negative offset")
	errMissing = errors.New("no such object in the bucket")
	errEnds    = errors.New("the object ends too early")
	errAnswer  = errors.New("the answer of the S3 service is wrong")
)

// kind is what to do about an error of the service.
type kind int

const (
	again kind = iota // it may work the next time
	final
)

// judge tells what kind an error is and puts our words to it.
func judge(err error) (kind, error) {
	if errors.Is(err, errMissing) || errors.Is(err, errEnds) || errors.Is(err, context.Canceled) {
		return final, err
	}
	r, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return again, err // of the network, or no answer that makes sense
	}
	switch r.Code {
	case "NoSuchKey":
		return final, errMissing
	case "InvalidRange":
		return final, errEnds
	case "QuotaExceeded", "QuotaExceededException", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity":
		return final, fmt.Errorf("%w: %w", blob.ErrFull, err)
	case "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "RequestTimeout", "Throttling", "OperationAborted":
		return again, err // the request came damaged or at the wrong time
	}
	switch {
	case r.StatusCode == http.StatusInsufficientStorage:
		return final, fmt.Errorf("%w: %w", blob.ErrFull, err)
	case r.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return final, errEnds
	case r.StatusCode >= 500, r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout, r.StatusCode < 400:
		return again, err
	}
	return final, err
}
