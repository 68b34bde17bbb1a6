package control

import (
	"context"
	"net/http"

	"github.com/hayauma/hayauma/internal/policy/rule"
)

// PolicyAddition is a new access rule and where it stands; its id and position
// are not looked at.
type PolicyAddition struct {
	Rule  rule.Rule  `json:"rule"`
	Place rule.Place `json:"place"`
}

// PolicyName names an access rule.
type PolicyName struct {
	Name string `json:"name"`
}

// PolicyPlace is a new place for an access rule.
type PolicyPlace struct {
	Name  string     `json:"name"`
	Place rule.Place `json:"place"`
}

// PolicySwitch turns an access rule on or off.
type PolicySwitch struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
}

// PolicyPosition is where an access rule stands, from 1.
type PolicyPosition struct {
	Position int `json:"position"`
}

func (s *Service) handlePolicy(mux *http.ServeMux) {
	handle(mux, PolicyAdd, s.policyAdd)
	handle(mux, PolicyRemove, s.policyRemove)
	handle(mux, PolicyMove, s.policyMove)
	handle(mux, PolicyTurn, s.policyTurn)
	handle(mux, PolicyList, s.policyList)
	handle(mux, PolicyTest, s.policyTest)
}

func (s *Service) policyAdd(ctx context.Context, in PolicyAddition) (PolicyPosition, error) {
	r, err := s.Rules.Add(ctx, in.Rule, in.Place)
	return PolicyPosition{Position: r.Position}, named(in.Rule.Name, err)
}

func (s *Service) policyRemove(ctx context.Context, in PolicyName) (Empty, error) {
	return Empty{}, named(in.Name, s.Rules.Remove(ctx, in.Name))
}

func (s *Service) policyMove(ctx context.Context, in PolicyPlace) (PolicyPosition, error) {
	position, err := s.Rules.Move(ctx, in.Name, in.Place)
	return PolicyPosition{Position: position}, named(in.Name, err)
}

func (s *Service) policyTurn(ctx context.Context, in PolicySwitch) (Empty, error) {
	return Empty{}, named(in.Name, s.Rules.Switch(ctx, in.Name, in.On))
}

func (s *Service) policyList(ctx context.Context, _ Empty) ([]rule.Rule, error) {
	return s.Rules.List(ctx)
}

func (s *Service) policyTest(ctx context.Context, in rule.Question) (rule.Trial, error) {
	return s.Rules.Try(ctx, in)
}
