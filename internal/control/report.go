package control

import (
	"context"
	"time"
)

// maxReports is the most reports that are listed.
const maxReports = 10_000

// SentReport is the TLS report of one day to a domain.
type SentReport struct {
	Day      string `json:"day"` // UTC, as in 2026-05-01
	Domain   string `json:"domain"`
	State    string `json:"state"` // waiting, sent, failed, unwanted, mail only
	Attempts int    `json:"attempts"`
	Next     string `json:"next,omitempty"`  // where it waits: not before
	Reply    string `json:"reply,omitempty"` // why it was not taken, or not by all; or where it is wanted by mail
}

// outboundReports tells of the TLS reports of late.
func (s *Service) outboundReports(ctx context.Context, _ Empty) ([]SentReport, error) {
	list, err := s.Reports.List(ctx, maxReports)
	out := make([]SentReport, len(list))
	for i, r := range list {
		out[i] = SentReport{Day: r.Day.Format(time.DateOnly), Domain: r.Domain, State: string(r.State), Attempts: r.Attempts,
			Next: stamp(r.Next), Reply: r.Reply}
	}
	return out, err
}
