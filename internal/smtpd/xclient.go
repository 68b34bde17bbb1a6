package smtpd

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/account"
	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/wire/smtp"
)

// The attributes that we take from hosts that speak for their clients.
const (
	xclientAttributes  = "NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"
	xforwardAttributes = "NAME ADDR PORT PROTO HELO IDENT SOURCE"
)

// mayFront tells whether the host at the other end of the socket may speak for
// others. It asks for the real peer, which XCLIENT does not change.
func (s *session) mayFront() bool {
	return s.front.IsValid() && s.srv.o.Fronts(s.front.Addr())
}

// claims are what XCLIENT said of the client, which its own words do not change.
type claims struct {
	helo string
	name string // of its address; empty = look it up
}

// xclient serves XCLIENT: the session begins anew, as the client's own.
func xclient(ctx context.Context, s *session, arg string) reply {
	if !s.mayFront() {
		return refuse(mail.Final(mail.NotAuthorized, "You may not speak for others: smtp.fronts lists who may"))
	}
	attributes, err := smtp.ParseAttributes(arg)
	if err != nil {
		return badAttribute(xclientAttributes)
	}
	peer, c, acc := s.peer, s.claims, account.Login{}
	if slices.ContainsFunc(attributes, isAddr) {
		c = claims{} // what was said of another client says nothing of this one
	}
	for _, a := range attributes {
		switch a.Name {
		case "ADDR":
			var addr netip.Addr
			addr, err = a.Addr()
			peer = netip.AddrPortFrom(addr, peer.Port())
		case "PORT":
			var port uint16
			port, err = a.Port()
			peer = netip.AddrPortFrom(peer.Addr(), port)
		case "HELO":
			c.helo = a.Value
		case "NAME":
			c.name = a.Value
		case "LOGIN":
			acc, err = s.claimed(ctx, a.Value)
		case "PROTO", "DESTADDR", "DESTPORT": // the client says EHLO or HELO itself
		default:
			err = smtp.ErrParam
		}
		if fault, ok := errors.AsType[*mail.Fault](err); ok {
			return refuse(fault)
		}
		if err != nil {
			return badAttribute(xclientAttributes)
		}
	}
	s.drop()
	s.helo, s.extended = "", false
	s.fronted, s.peer, s.claims, s.account = true, peer, c, acc
	s.in.Normalize(s.srv.o.Old(peer.Addr()))
	s.log = s.logger().With("client", peer.String())
	return s.greeting()
}

func isAddr(a smtp.Attribute) bool { return a.Name == "ADDR" }

func badAttribute(known string) reply {
	return refuse(mail.Final(mail.BadArguments, "Attributes are name=value in xtext, of "+known))
}

// claimed is the account of a login that the front has checked.
func (s *session) claimed(ctx context.Context, login string) (account.Login, error) {
	if login == "" {
		return account.Login{}, nil
	}
	acc, ok, err := s.srv.o.Gate.Named(ctx, login)
	switch {
	case err != nil:
		return account.Login{}, mail.AsFault(err)
	case !ok || s.door != mail.DoorSubmission:
		return account.Login{}, mail.Final(mail.AuthCredentials, "There is no such login here")
	}
	return account.Login{Account: acc}, nil
}

// xforward serves XFORWARD: what a filter in front of us knows of the client, for
// the log and the history alone. It holds for the next message.
func xforward(_ context.Context, s *session, arg string) reply {
	if !s.mayFront() {
		return refuse(mail.Final(mail.NotAuthorized, "You may not speak for others: smtp.fronts lists who may"))
	}
	attributes, err := smtp.ParseAttributes(arg)
	if err != nil {
		return badAttribute(xforwardAttributes)
	}
	for _, a := range attributes {
		if !strings.Contains(" "+xforwardAttributes+" ", " "+a.Name+" ") {
			return badAttribute(xforwardAttributes)
		}
	}
	if s.forwarded == nil {
		s.forwarded = map[string]string{}
	}
	for _, a := range attributes {
		s.forwarded[a.Name] = a.Value
	}
	return ok(250, "2.0.0", "Ok")
}

// forwardedText is what the history shows of XFORWARD: "host.test [192.0.2.1]".
func (s *session) forwardedText() string {
	name, addr := s.forwarded["NAME"], s.forwarded["ADDR"]
	if addr != "" {
		addr = "[" + addr + "]"
	}
	return strings.TrimSpace(name + " " + addr)
}
