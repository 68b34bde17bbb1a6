package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Probe stores, reads and deletes a small object in the bucket. Its error is a
// sentence that says what is wrong and how to mend it. It needs the fields of
// Options that say where the bucket is, and IDs.
func Probe(ctx context.Context, opt Options) error {
	opt.setDefaults()
	if err := opt.Location.check(); err != nil {
		return err
	}
	c, err := newClient(&opt)
	if err != nil {
		return err
	}
	defer c.close()
	err = c.tryOut(ctx, min(2, c.tries()), opt.under("probe/"+opt.IDs.Next().String()))
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%s: %w", explain(err, &opt), err)
}

// explain says what an error means for whoever sets the store up.
func explain(err error, o *Options) string {
	if r, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return explainAnswer(r, o)
	}
	_, dns := errors.AsType[*net.DNSError](err)
	_, dial := errors.AsType[*net.OpError](err)
	_, cert := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return fmt.Sprintf("the S3 endpoint %s speaks no TLS: write tls=off into the URL if that is meant", o.Endpoint)
	case cert:
		return fmt.Sprintf("the certificate of the S3 endpoint %s is not trusted here: correct the endpoint's name, or add its authority to the system's", o.Endpoint)
	case dns:
		return fmt.Sprintf("the name of the S3 endpoint %s is not found: correct the endpoint in the URL", o.Endpoint)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the S3 endpoint %s does not answer within %v: see whether host and port are right and a firewall is in the way", o.Endpoint, o.Timeout)
	case dial:
		return fmt.Sprintf("the S3 endpoint %s cannot be reached: see whether host and port are right and the service runs", o.Endpoint)
	}
	return fmt.Sprintf("the S3 endpoint %s does not work as one", o.Endpoint)
}

// explainAnswer is for errors that the service gave by name.
func explainAnswer(r minio.ErrorResponse, o *Options) string {
	switch r.Code {
	case "NoSuchBucket":
		return fmt.Sprintf("the bucket %s does not exist at %s: create it, or correct its name", o.Bucket, o.Endpoint)
	case "InvalidAccessKeyId", "XAdminNoSuchUser", "XAdminUserNotFound":
		return fmt.Sprintf("%s does not know the access key: correct it", o.Endpoint)
	case "SignatureDoesNotMatch":
		return fmt.Sprintf("%s does not accept the signature: correct the secret key, and see that the clock is right", o.Endpoint)
	case "RequestTimeTooSkewed":
		return fmt.Sprintf("the clocks here and at %s differ too much: set the clock", o.Endpoint)
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "InvalidRegion", "IllegalLocationConstraintException", "TemporaryRedirect":
		if r.Region != "" {
			return fmt.Sprintf("the bucket %s is in the region %s: write region=%s into the URL", o.Bucket, r.Region, r.Region)
		}
		return fmt.Sprintf("the bucket %s is not in the region %q: write the right region= into the URL", o.Bucket, o.Region)
	case "AccessDenied":
		return fmt.Sprintf("the access key may not use the bucket %s: allow it to get, put, delete and list objects there", o.Bucket)
	}
	switch {
	case r.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("the access key may not use the bucket %s: allow it to get, put, delete and list objects there", o.Bucket)
	case r.StatusCode == http.StatusMovedPermanently:
		return fmt.Sprintf("the bucket %s is in another region: write the right region= into the URL", o.Bucket)
	case r.StatusCode >= 500:
		return fmt.Sprintf("the S3 service at %s fails: look at it, or try later", o.Endpoint)
	}
	return fmt.Sprintf("%s refuses to work with the bucket %s", o.Endpoint, o.Bucket)
}
