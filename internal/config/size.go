package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

// The units of sizes: the decimal ones are powers of 1000, the others of 1024.
const (
	KB  Size = 1000
	MB  Size = 1000 * KB
	GB  Size = 1000 * MB
	KiB Size = 1024
	MiB Size = 1024 * KiB
	GiB Size = 1024 * MiB
)

var errSize = errors.New(`a size is a whole number with an optional unit B, KB, MB, GB, KiB, MiB or GiB, like "50MB"`)

// unit returns the bytes of the unit name, in any case; 0 = unknown.
func unit(name string) Size {
	switch strings.ToLower(name) {
	case "", "b":
		return 1
	case "kb":
		return KB
	case "mb":
		return MB
	case "gb":
		return GB
	case "kib":
		return KiB
	case "mib":
		return MiB
	case "gib":
		return GiB
	}
	return 0
}

// ParseSize reads "50MB", "64 KiB" or plain bytes. MB is 10^6 bytes, MiB 2^20.
// Negative and fractional sizes are errors.
func ParseSize(s string) (Size, error) {
	digits := len(s)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			digits = i
			break
		}
	}
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	u := unit(strings.TrimSpace(s[digits:]))
	if err != nil || u == 0 || n > math.MaxInt64/int64(u) {
		return 0, errSize
	}
	return Size(n) * u, nil
}

// String returns the shortest exact form that ParseSize reads.
func (s Size) String() string {
	for _, name := range []string{"GB", "GiB", "MB", "MiB", "KB", "KiB"} {
		if u := unit(name); s != 0 && s%u == 0 {
			return strconv.FormatInt(int64(s/u), 10) + name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// FreeSpace is the free space to leave on a disk, in bytes; 0 asks for the rule
// of one part in a hundred, but at least 512 MiB.
type FreeSpace int64

// Floor returns the bytes to leave free on a disk of total bytes.
func (f FreeSpace) Floor(total uint64) uint64 {
	if f > 0 {
		return uint64(f)
	}
	return max(total/100, uint64(512*MiB))
}

// String returns the form that stands in the file: empty for the rule.
func (f FreeSpace) String() string {
	if f == 0 {
		return ""
	}
	return Size(f).String()
}

// parseFreeSpace reads a size of at least one byte, or nothing for the rule.
func parseFreeSpace(s string) (FreeSpace, error) {
	if s == "" {
		return 0, nil
	}
	n, err := ParseSize(s)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		return 0, errors.New(`must leave some space free; write a size like "1GB", or "" for the default rule`)
	}
	return FreeSpace(n), nil
}
