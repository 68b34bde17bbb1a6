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
		name, err := ProviderName(r.Provider)
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

// replyRow is what a provider says when it is too much for it, and what to do then.
type replyRow struct {
	Rule
	Pause bool `json:"pause"` // nothing goes; else its limits hold
	source
}

func shippedReplies() (map[string][]Rule, error) {
	rows, err := decode[replyRow]("replies.json")
	if err != nil {
		return nil, err
	}
	out := map[string][]Rule{}
	for i := range rows {
		r := &rows[i]
		if err := r.read(); err != nil {
			return nil, fmt.Errorf("replies.json, row %d (%s): %w", i+1, r.Provider, err)
		}
		out[r.Provider] = append(out[r.Provider], r.Rule)
	}
	return out, nil
}

func (r *replyRow) read() error {
	if r.Text == "" || r.Text != strings.ToLower(r.Text) || r.Do != "" || r.ID != 0 || r.From != "" {
		return errors.New("it says more or less than a row may")
	}
	r.From = r.source.String()
	if r.Do = Slow; r.Pause {
		r.Do = Pause
	}
	return errors.Join(r.check(), r.Rule.read())
}
