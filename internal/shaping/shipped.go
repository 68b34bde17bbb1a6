package shaping

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// What was published, a row for each provider and source. A row without a public
// source is an error: what nobody has stated holds for nobody.
//
//go:embed limits.json replies.json
var data embed.FS

// source is who has published a row.
type source struct {
	Kind   string `json:"kind"` // "provider": itself; "mta": the rules that another mail server ships
	Source string `json:"source"`
	Date   string `json:"date"` // of the page or file, or on which it was read
	Says   string `json:"says"` // in short; not read by the program
}

func (s source) check() error {
	if s.Kind != "provider" && s.Kind != "mta" {
		return fmt.Errorf("kind %q", s.Kind)
	}
	if _, err := time.Parse(time.DateOnly, s.Date); err != nil || s.Source == "" {
		return errors.New("no source with a date")
	}
	return nil
}

// String tells people where a limit comes from.
func (s source) String() string {
	if s.Kind == "provider" {
		return "published by the provider: " + s.Source + ", " + s.Date
	}
	return "shipped with another mail server: " + s.Source + ", " + s.Date
}

type limitRow struct {
	Provider    string `json:"provider"`
	Title       string `json:"title"`
	Connections int    `json:"connections"`
	Messages    int    `json:"messages_per_connection"`
	Recipients  int    `json:"recipients"`
	Rate        string `json:"rate"`
	source
}

func decode[T any](name string) ([]T, error) {
	p, err := data.ReadFile(name)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(p))
	dec.DisallowUnknownFields()
	var rows []T
	if err := dec.Decode(&rows); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: text behind the rows", name)
	}
	return rows, nil
}

// shippedLimits reads what holds for known providers. Of two sources that speak of
// the same limit the stricter one holds.
func shippedLimits() (map[string]Set, map[string]string, error) {
	rows, err := decode[limitRow]("limits.json")
	if err != nil {
		return nil, nil, err
	}
	sets, titles := map[string]Set{}, map[string]string{}
	for i, r := range rows {
		name, err := providerName(r.Provider)
		if err == nil && name != r.Provider {
			err = errors.New("the provider is not written as sites have it")
		}
		if err := errors.Join(err, r.check()); err != nil {
			return nil, nil, fmt.Errorf("limits.json, row %d (%s): %w", i+1, r.Provider, err)
		}
		if sets[name] == nil {
			sets[name], titles[name] = Set{}, r.Title
		}
		if err := sets[name].stricter(r); err != nil {
			return nil, nil, fmt.Errorf("limits.json, row %d (%s): %w", i+1, r.Provider, err)
		}
	}
	return sets, titles, nil
}

func (s Set) stricter(r limitRow) error {
	for k, n := range map[Key]int{Connections: r.Connections, Messages: r.Messages, Recipients: r.Recipients} {
		if n == 0 {
			continue
		}
		if old := s.Number(k); old == 0 || n < old {
			s[k] = Limit{Key: k, Value: fmt.Sprint(n), From: r.String()}
		}
	}
	if r.Rate == "" {
		return nil
	}
	messages, per, err := parseRate(r.Rate)
	if old, oldPer := s.Rate(); err == nil && (old == 0 || float64(messages)/per.Seconds() < float64(old)/oldPer.Seconds()) {
		s[Rate] = Limit{Key: Rate, Value: r.Rate, From: r.String()}
	}
	return err
}

// reply is what a provider says when it is too much for it, and what to do then.
type reply struct {
	Provider    string `json:"provider"`
	Code        int    `json:"code"`     // 0 = any
	Enhanced    string `json:"enhanced"` // "" = any
	Text        string `json:"text"`     // in lower case; part of the reply
	Times       int    `json:"times"`    // within an hour, before it counts
	Wait        string `json:"wait"`     // how long what follows holds
	Pause       bool   `json:"pause"`    // nothing goes; else the limits below hold
	Connections int    `json:"connections"`
	Rate        string `json:"rate"`
	source

	wait     time.Duration
	messages int
	per      time.Duration
}

func shippedReplies() ([]reply, error) {
	rows, err := decode[reply]("replies.json")
	if err != nil {
		return nil, err
	}
	for i := range rows {
		if err := rows[i].read(); err != nil {
			return nil, fmt.Errorf("replies.json, row %d (%s): %w", i+1, rows[i].Provider, err)
		}
	}
	return rows, nil
}

func (r *reply) read() (err error) {
	if err := r.check(); err != nil {
		return err
	}
	if r.wait, err = time.ParseDuration(r.Wait); err != nil {
		return err
	}
	if r.Rate != "" {
		if r.messages, r.per, err = parseRate(r.Rate); err != nil {
			return err
		}
	}
	if r.wait <= 0 || r.Times < 1 || r.Text == "" || r.Text != strings.ToLower(r.Text) || r.Pause == (r.Connections > 0 || r.messages > 0) {
		return errors.New("it says nothing to do, or two things")
	}
	return nil
}
