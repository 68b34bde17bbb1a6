package imapd

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/wire/imap"
)

// list serves LIST (RFC 3501 §6.3.8).
func list(ctx context.Context, s *session, req imap.List) reply {
	if req.Pattern == "" {
		// It asks for the delimiter, and for the root of the reference.
		s.enc.List(imap.MailboxLine{Attributes: []string{imap.AttrNoselect}})
		return ok("Done")
	}
	boxes, err := s.srv.o.Mailboxes.List(ctx, s.account.ID)
	if err != nil {
		return s.failed("LIST", err)
	}
	pattern := imap.NewPattern(req.Reference, req.Pattern)
	for _, b := range boxes {
		if !pattern.Match(b.Name) {
			continue
		}
		attrs := []string{imap.AttrHasNoChildren}
		if b.Children {
			attrs[0] = imap.AttrHasChildren
		}
		if b.NoSelect {
			attrs = append(attrs, imap.AttrNoselect)
		}
		if use, special := attributes[b.Role]; special {
			attrs = append(attrs, use)
		}
		s.enc.List(imap.MailboxLine{Attributes: attrs, Name: b.Name})
	}
	return ok("Done")
}

// lsub serves LSUB (RFC 3501 §6.3.9). A name that was deleted stays in it.
func lsub(ctx context.Context, s *session, req imap.Lsub) reply {
	if req.Pattern == "" {
		s.enc.Lsub(imap.MailboxLine{Attributes: []string{imap.AttrNoselect}})
		return ok("Done")
	}
	boxes, err := s.srv.o.Mailboxes.List(ctx, s.account.ID)
	if err != nil {
		return s.failed("LSUB", err)
	}
	names, err := s.srv.o.Mailboxes.Subscriptions(ctx, s.account.ID)
	if err != nil {
		return s.failed("LSUB", err)
	}
	noselect := make(map[string]bool)
	for _, b := range boxes {
		noselect[b.Name] = b.NoSelect
	}
	pattern := imap.NewPattern(req.Reference, req.Pattern)
	lines := make(map[string]bool) // name to \Noselect
	for _, name := range names {
		if pattern.Match(name) {
			lines[name] = noselect[name]
		}
	}
	if strings.Contains(req.Pattern, "%") {
		addParents(lines, names, pattern)
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		var attrs []string
		if lines[name] {
			attrs = []string{imap.AttrNoselect}
		}
		s.enc.Lsub(imap.MailboxLine{Attributes: attrs, Name: name})
	}
	return ok("Done")
}

// addParents adds the names that stand for subscribed ones below them.
// RFC 3501 §6.3.9
func addParents(lines map[string]bool, names []string, pattern *imap.Pattern) {
	for _, name := range names {
		if _, matched := lines[name]; matched {
			continue
		}
		for i := range len(name) {
			if name[i] != imap.Delimiter {
				continue
			}
			up := name[:i]
			if _, there := lines[up]; !there && pattern.Match(up) {
				lines[up] = true
			}
		}
	}
}
