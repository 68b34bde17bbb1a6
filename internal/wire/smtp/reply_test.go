package smtp_test

import (
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hayauma/hayauma/internal/wire/smtp"
)

func TestReply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, wire string
		want       smtp.Reply
		err        error
	}{
		{"plain", "250 OK\r\n", smtp.Reply{Code: 250, Lines: []string{"OK"}}, nil},
		{"enhanced", "550 5.1.1 No such user\r\n", smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"No such user"}}, nil},
		{"lines", "250-a\r\n250-b\r\n250 c\r\n", smtp.Reply{Code: 250, Lines: []string{"a", "b", "c"}}, nil},
		{"enhanced on each line", "451-4.7.1 wait\r\n451 4.7.1 more\r\n", smtp.Reply{Code: 451, Enhanced: "4.7.1", Lines: []string{"wait", "more"}}, nil},
		{"class of another kind", "550 4.1.1 x\r\n", smtp.Reply{Code: 550, Lines: []string{"4.1.1 x"}}, nil},
		{"an address is no code", "250 2.0.0.1 x\r\n", smtp.Reply{Code: 250, Lines: []string{"2.0.0.1 x"}}, nil},
		{"code alone", "354\r\n", smtp.Reply{Code: 354, Lines: []string{""}}, nil},
		{"LF alone", "250-a\n250 b\n", smtp.Reply{Code: 250, Lines: []string{"a", "b"}}, nil},
		{"the last code counts", "250-a\r\n550 b\r\n", smtp.Reply{Code: 550, Lines: []string{"a", "b"}}, nil},
		{"control characters", "250 a\x00\x1b[1m\xff\r\n", smtp.Reply{Code: 250, Lines: []string{"a??[1m?"}}, nil},
		{"UTF-8 stays", "550 \u65e5\u672c\r\n", smtp.Reply{Code: 550, Lines: []string{"\u65e5\u672c"}}, nil},
		{"a long line is cut", "250 " + strings.Repeat("x", 9000) + "\r\n", smtp.Reply{Code: 250, Lines: []string{strings.Repeat("x", 1996)}}, nil},
		{"no code", "hello\r\n", smtp.Reply{}, smtp.ErrReply},
		{"code out of range", "650 x\r\n", smtp.Reply{}, smtp.ErrReply},
		{"empty line", "\r\n", smtp.Reply{}, smtp.ErrReply},
		{"end", "", smtp.Reply{}, io.EOF},
		{"end in a line", "250 x", smtp.Reply{}, io.ErrUnexpectedEOF},
		{"no end of lines", strings.Repeat("250-x\r\n", 1000), smtp.Reply{}, smtp.ErrReplyTooLong},
		{"no end of a line", "250 " + strings.Repeat("x", 200000), smtp.Reply{}, smtp.ErrReplyTooLong},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := smtp.NewReplyReader(strings.NewReader(c.wire)).Read()
			if !errors.Is(err, c.err) || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-a\r\n250 2.1.0 b\r\n", "550 5.1.1 x\r\n", "421\r\n", "x", "250-\n250 \n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wire string) {
		reply, err := smtp.NewReplyReader(strings.NewReader(wire)).Read()
		if err != nil {
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0 || len(reply.Text()) > 200*2003*3 {
			t.Fatalf("out of bounds: %+v", reply)
		}
		for _, line := range reply.Lines {
			if !utf8.ValidString(line) || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("unclean line %q", line)
			}
			if len(line) > 1980 {
				return // printing it again gets it cut
			}
		}
		again, err := smtp.NewReplyReader(strings.NewReader(reply.String())).Read()
		if err != nil {
			t.Fatalf("%q: %v", reply.String(), err)
		}
		// A line may hold a second code behind the first.
		if again.Code != reply.Code || reply.Enhanced != "" && !reflect.DeepEqual(again, reply) {
			t.Fatalf("%+v became %+v", reply, again)
		}
	})
}
