package control

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hayauma/hayauma/internal/shaping"
)

// ProviderName names a provider, * or nothing = everyone.
type ProviderName struct {
	Provider string `json:"provider,omitempty"`
}

func (p ProviderName) name() string {
	if p.Provider == "" {
		return shaping.Everyone
	}
	return p.Provider
}

// ReplyRule names a rule of the operator's for replies.
type ReplyRule struct {
	ID int64 `json:"id"`
}

// ReplyQuestion is a reply as a provider may give it.
type ReplyQuestion struct {
	ProviderName
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced,omitempty"`
	Text     string `json:"text,omitempty"`
}

// ReplyAnswer is the rule that would decide on a reply, nil if there is none.
type ReplyAnswer struct {
	Rule *shaping.Rule `json:"rule,omitempty"`
}

func (s *Service) handleReplyRules(mux *http.ServeMux) {
	handle(mux, ReplyAdd, s.replyAdd)
	handle(mux, ReplyRemove, s.replyRemove)
	handle(mux, ReplyList, s.replyList)
	handle(mux, ReplyTest, s.replyTest)
}

func (s *Service) replyAdd(ctx context.Context, in shaping.Rule) (shaping.Rule, error) {
	return s.Shaping.AddRule(ctx, in)
}

func (s *Service) replyRemove(ctx context.Context, in ReplyRule) (Empty, error) {
	if err := s.Shaping.RemoveRule(ctx, in.ID); err != nil {
		return Empty{}, err
	}
	if err := s.Queue.Reshaped(ctx); err != nil {
		return Empty{}, fmt.Errorf("the rule is removed, but what waited for its end may go on waiting: 'hayauma queue retry --state queued' has it tried: %w", err)
	}
	return Empty{}, nil
}

// replyList tells of all rules of the operator, or of all that one provider's replies
// are held against.
func (s *Service) replyList(ctx context.Context, in ProviderName) ([]shaping.Rule, error) {
	if in.Provider == "" {
		return s.Shaping.Rules(ctx)
	}
	return s.Shaping.RulesFor(in.Provider)
}

func (s *Service) replyTest(_ context.Context, in ReplyQuestion) (ReplyAnswer, error) {
	rule, ok, err := s.Shaping.Try(in.name(), in.Code, in.Enhanced, in.Text)
	if err != nil || !ok {
		return ReplyAnswer{}, err
	}
	return ReplyAnswer{Rule: &rule}, nil
}
