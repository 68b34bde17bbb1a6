package classify

import (
	"fmt"
	"strconv"
	"strings"
)

// code is a row of codes.txt.
type code struct {
	class  Class
	name   string // the row as it stands in the file
	vague  bool   // words that only suggest something outweigh it
	shared bool   // it serves for several things, also in our own findings
	clear  bool   // of a basic code: it outweighs an enhanced one that is vague
}

// codes are the rows by code and stage: "x.1.1", "4.4.4", "553 mail".
type codes map[string]code

// parseCodes reads a file of codes:
//
//	# for the reader
//	x.2.2     full
//	5.4.4     bad-domain
//	x.7.1     policy      vague
//	553 mail  bad-sender
//	535       login       clear
//
// x stands for 4 and 5; a row with the digit outweighs it. Basic codes may name the
// stage, which outweighs the code alone; what is not clear comes after all else.
func parseCodes(file string) (codes, error) {
	out := codes{}
	for i, line := range strings.Split(file, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		key, row, err := parseCode(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("line %d: %q stands twice", i+1, key)
		}
		out[key] = row
	}
	return out, nil
}

func parseCode(fields []string) (key string, row code, err error) {
	key, rest := fields[0], fields[1:]
	enhanced := strings.Contains(key, ".")
	if enhanced && !enhancedKey(key) || !enhanced && !basicKey(key) {
		return "", row, fmt.Errorf("%q is no code", key)
	}
	if len(rest) > 0 && !enhanced {
		switch s := Stage(rest[0]); s {
		case Greeting, Mail, Rcpt, Data:
			key, rest = key+" "+string(s), rest[1:]
		}
	}
	if len(rest) == 0 {
		return "", row, fmt.Errorf("%q has no class", key)
	}
	class, ok := Parse(rest[0])
	if !ok {
		return "", row, fmt.Errorf("%q is no class", rest[0])
	}
	row = code{class: class, name: strings.Join(fields, " ")}
	for _, word := range rest[1:] {
		switch {
		case word == "vague" && enhanced && !row.vague:
			row.vague = true
		case word == "shared" && enhanced && !row.shared:
			row.shared = true
		case word == "clear" && !enhanced && !row.clear:
			row.clear = true
		default:
			return "", row, fmt.Errorf("%q: unknown word %q", row.name, word)
		}
	}
	return key, row, nil
}

func enhancedKey(key string) bool {
	class, rest, _ := strings.Cut(key, ".")
	subject, detail, _ := strings.Cut(rest, ".")
	for _, part := range []string{subject, detail} {
		if n, err := strconv.Atoi(part); err != nil || strconv.Itoa(n) != part {
			return false
		}
	}
	return class == "x" || class == "4" || class == "5"
}

func basicKey(key string) bool {
	n, err := strconv.Atoi(key)
	return err == nil && n >= 400 && n <= 599
}

// enhanced returns the row of an enhanced code, if that is an exact one or a vague
// one, as is asked for.
func (c codes) enhanced(r *Reply, exact bool) (code, bool) {
	if len(r.Enhanced) < 2 {
		return code{}, false
	}
	row, ok := c[r.Enhanced]
	if !ok && (r.Enhanced[0] == '4' || r.Enhanced[0] == '5') {
		row, ok = c["x"+r.Enhanced[1:]]
	}
	return row, ok && exact != row.vague
}

// basic returns the row of a basic code.
func (c codes) basic(r *Reply) (code, bool) {
	name := strconv.Itoa(r.Code)
	row, ok := c[name+" "+string(r.Stage)]
	if !ok {
		row, ok = c[name]
	}
	return row, ok
}
