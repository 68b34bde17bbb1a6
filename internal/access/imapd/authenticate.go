package imapd

import (
	"context"
	"errors"

	"github.com/hayauma/hayauma/internal/wire/imap"
	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// authenticate serves AUTHENTICATE (RFC 3501 §6.2.2, RFC 4959).
func authenticate(ctx context.Context, s *session, req imap.Authenticate) reply {
	exchange, offered := s.srv.o.Gate.Begin(ctx, s.attempt(), req.Mechanism)
	if !offered {
		return no(imap.CodeCannot, "This mechanism is not offered")
	}
	if !s.mayLogIn() {
		return unsafeLogin()
	}
	defer exchange.End(ctx)
	var answer []byte
	if req.Initial != nil {
		if answer = *req.Initial; answer == nil {
			answer = []byte{} // "=", which is not the same as none
		}
	}
	for {
		challenge, done, err := exchange.Next(ctx, answer)
		switch {
		case sasl.IsFault(err):
			return saslFault(err)
		case err != nil:
			return s.loginRefused(err)
		case done:
			return s.loggedIn(ctx, exchange.Login())
		}
		s.enc.Continue(sasl.Encode(challenge))
		line, err := s.dec.ReadLine()
		if err != nil {
			return brokenOff(err)
		}
		if answer, err = imap.DecodeSASL(line); err != nil {
			return saslFault(err)
		}
		if answer == nil {
			answer = []byte{}
		}
	}
}

func saslFault(err error) reply {
	switch {
	case errors.Is(err, imap.ErrCancelled):
		return bad("Login cancelled")
	case errors.Is(err, sasl.ErrAuthzid):
		return no(imap.CodeAuthorization, "Acting for another user is not offered")
	}
	return bad("The answer does not follow the mechanism")
}
