package classify

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed data/*.txt
var files embed.FS

// maxText bounds what is read of a reply, in octets; the queue keeps no more.
const maxText = 2000

// Stage is what a reply answered.
type Stage string

// The stages that tell something. The zero Stage is unknown.
const (
	Greeting Stage = "greeting"
	Mail     Stage = "mail" // MAIL FROM
	Rcpt     Stage = "rcpt" // RCPT TO
	Data     Stage = "data" // DATA and its end
)

// Reply is what is known of a failure. Every field may be empty.
type Reply struct {
	Code     int    // 550
	Enhanced string // "5.1.1"
	Text     string // the words; codes in front of them do no harm
	Host     string // who said it, by name
	Ours     bool   // it is a finding of this server
	Stage    Stage
}

// class is the first digit of the code, else of the enhanced code, else 0.
func (r *Reply) class() int {
	switch {
	case r.Code != 0:
		return r.Code / 100
	case r.Enhanced != "":
		return int(r.Enhanced[0]) - '0'
	}
	return 0
}

func (r *Reply) tidy() {
	r.Text = r.Text[:min(len(r.Text), maxText)]
	r.Host = strings.ToLower(strings.TrimSuffix(r.Host, "."))
}

// Classifier holds the data. It is never changed, so that many may ask it at once.
type Classifier struct {
	words, hints *patterns
	codes        codes
}

// New reads the data, which are part of the program.
func New() (*Classifier, error) {
	return read(func(name string) (string, error) {
		text, err := files.ReadFile("data/" + name)
		return string(text), err
	})
}

func read(file func(name string) (string, error)) (*Classifier, error) {
	c := &Classifier{}
	for _, f := range []struct {
		name string
		take func(text string) error
	}{
		{"words.txt", func(text string) (err error) { c.words, err = parsePatterns(text); return err }},
		{"hints.txt", func(text string) (err error) { c.hints, err = parsePatterns(text); return err }},
		{"codes.txt", func(text string) (err error) { c.codes, err = parseCodes(text); return err }},
	} {
		text, err := file(f.name)
		if err == nil {
			err = f.take(text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return c, nil
}

// Of tells why a delivery failed. It is pure and takes some microseconds.
func (c *Classifier) Of(r Reply) Class {
	class, _ := c.decide(r)
	return class
}

// Words tells what the clear words of a reply say; empty if it has none. They outweigh
// its codes.
func (c *Classifier) Words(r Reply) Class {
	r.tidy()
	if p := c.words.first(&r, split(r.Text)); p != nil {
		return p.class
	}
	return ""
}

// decide also names the row that decided, for the tests; empty for Other.
func (c *Classifier) decide(r Reply) (Class, string) {
	r.tidy()
	exact, isExact := c.codes.enhanced(&r, true)
	if r.Ours && isExact && !exact.shared {
		return exact.class, exact.name
	}
	text := split(r.Text)
	if p := c.words.first(&r, text); p != nil {
		return p.class, p.name
	}
	if isExact {
		return exact.class, exact.name
	}
	if p := c.hints.first(&r, text); p != nil {
		return p.class, p.name
	}
	basic, isBasic := c.codes.basic(&r)
	if row, ok := c.codes.enhanced(&r, false); ok && !basic.clear {
		return row.class, row.name
	}
	if isBasic {
		return basic.class, basic.name
	}
	return Other, ""
}
