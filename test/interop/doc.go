// Package interop exchanges mail with programs from Debian's packages: other
// servers, submitters, fetchers.
package interop
