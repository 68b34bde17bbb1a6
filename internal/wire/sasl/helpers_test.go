package sasl_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hayauma/hayauma/internal/wire/sasl"
)

// converse lets a client and our server talk as a door would, and returns the
// server's dialogue and the error of either side. The initial response goes
// along at once, or is held back until the server asks.
func converse(d sasl.Dialogue, c sasl.Client, atOnce bool) error {
	answer, believe, err := c.Next(nil)
	if err != nil {
		return err
	}
	held := answer
	if !atOnce {
		answer = nil
	}
	for range 10 {
		challenge, done, err := d.Next(answer)
		switch {
		case err != nil:
			return err
		case done && !believe:
			return errors.New("the server is done before the client can believe it")
		case done:
			return nil
		}
		if !atOnce && held != nil {
			answer, held = held, nil
			continue
		}
		if answer, believe, err = c.Next(challenge); err != nil {
			return err
		}
		if answer == nil {
			return errors.New("the client has no answer to a challenge")
		}
	}
	return errors.New("the exchange does not end")
}

// login is a run by the client's credentials against a server.
func login(t testing.TB, s sasl.Server, mechanism string, c sasl.ClientCredentials) (sasl.Outcome, error) {
	t.Helper()
	d, ok := s.Begin(mechanism)
	if !ok {
		t.Fatalf("the server has no %s", mechanism)
	}
	client, ok := sasl.NewClient(mechanism, c)
	if !ok {
		t.Fatalf("the client has no %s", mechanism)
	}
	if err := converse(d, client, true); err != nil {
		return nil, err
	}
	return d.Outcome(), nil
}

// verifierOf makes a cheap verifier.
func verifierOf(t testing.TB, password string, id int64) sasl.Verifier {
	t.Helper()
	v, err := sasl.Derive(password, []byte("salt of an account"), sasl.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	v.ID = id
	return v
}

// serverOf knows one user.
func serverOf(user string, verifiers ...sasl.Verifier) sasl.Server {
	return sasl.Server{
		Secret: []byte("the secret of this server"),
		Verifiers: func(asked string) ([]sasl.Verifier, error) {
			if asked != user {
				return nil, nil
			}
			return slices.Clone(verifiers), nil
		},
	}
}
