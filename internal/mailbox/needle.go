package mailbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"
)

// needle is a text to look for, with upper and lower case made equal.
type needle string

func newNeedle(text string) needle { return needle(foldCase(nil, []byte(text))) }

// in reports whether text contains the needle.
func (n needle) in(text string) bool {
	return n == "" || bytes.Contains(foldCase(nil, []byte(text)), []byte(n))
}

const needleBuffer = 16 << 10

// inReader is in for UTF-8 of any length; it holds a bounded part of it.
func (n needle) inReader(ctx context.Context, r io.Reader) (bool, error) {
	raw := make([]byte, needleBuffer)
	window := make([]byte, 0, 2*needleBuffer)
	left := 0 // octets of an unfinished rune at the start of raw
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		got, err := r.Read(raw[left:])
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return false, err
		}
		got += left
		whole := got
		if !end {
			whole = wholeRunes(raw[:got])
		}
		window = foldCase(window, raw[:whole])
		if bytes.Contains(window, []byte(n)) {
			return true, nil
		}
		if end {
			return false, nil
		}
		left = copy(raw, raw[whole:got])
		if keep := len(n) - 1; len(window) > keep {
			window = window[:copy(window, window[len(window)-keep:])]
		}
	}
}

// wholeRunes is the length of b without a rune at its end that is cut.
func wholeRunes(b []byte) int {
	for i := 1; i <= min(len(b), utf8.UTFMax-1); i++ {
		if tail := b[len(b)-i:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return len(b) - i
			}
			break
		}
	}
	return len(b)
}

// foldCase appends text to dst in lower case.
func foldCase(dst, text []byte) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		// By way of upper case, so that final sigma and the like are equal.
		dst = utf8.AppendRune(dst, unicode.ToLower(unicode.ToUpper(r)))
		i += size
	}
	return dst
}
