package load

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteRecord returns an OnAccepted that writes one line per message, in one
// write each, so that what was confirmed survives the death of the generator:
// message id, recipients joined by commas, reply text, with tabs between.
func WriteRecord(w io.Writer) func(Accepted) error {
	return func(a Accepted) error {
		reply := strings.Map(func(r rune) rune {
			if r == '\t' || r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, a.Reply)
		_, err := io.WriteString(w, a.MessageID+"\t"+strings.Join(a.Recipients, ",")+"\t"+reply+"\n")
		return err
	}
}

// ReadRecord reads what WriteRecord wrote. A last line without its end is left
// out: its writer died before the message counted.
func ReadRecord(r io.Reader) ([]Accepted, error) {
	var all []Accepted
	br := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := br.ReadString('\n')
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(f) != 3 {
			return nil, fmt.Errorf("record: line %d has %d fields, not 3", n, len(f))
		}
		all = append(all, Accepted{MessageID: f[0], Recipients: strings.Split(f[1], ","), Reply: f[2]})
	}
}
