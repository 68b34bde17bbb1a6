package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/smtp"
)

// submit hands a letter over as a mail program does, and returns the server's
// words for the message.
func submit(ctx context.Context, l *letter) (reply string, err error) {
	home := l.from.home
	conn, err := home.dial(ctx, home.ports.submission, false)
	if err != nil {
		return "", err
	}
	client, err := smtp.NewClient(conn, home.hostname)
	if err != nil {
		return "", errors.Join(err, conn.Close())
	}
	defer func() { _ = client.Close() }() // after QUIT it is closed already
	trust, err := home.tls()
	if err != nil {
		return "", err
	}
	for _, step := range []func() error{
		func() error { return client.Hello("client.one.test") },
		func() error { return client.StartTLS(trust) },
		func() error { return client.Auth(smtp.PlainAuth("", l.from.address, l.from.password, home.hostname)) },
		func() error { return client.Mail(l.from.address) },
		func() error { return client.Rcpt(l.to.address) },
	} {
		if err := step(); err != nil {
			return "", err
		}
	}
	if reply, err = data(client, l.text); err != nil {
		return "", err
	}
	return reply, client.Quit()
}

// data is DATA, with the text of the last reply, which smtp.Client drops.
func data(client *smtp.Client, text []byte) (string, error) {
	id, err := client.Text.Cmd("DATA")
	if err != nil {
		return "", err
	}
	client.Text.StartResponse(id)
	_, _, err = client.Text.ReadResponse(354)
	client.Text.EndResponse(id)
	if err != nil {
		return "", err
	}
	w := client.Text.DotWriter()
	_, err = io.Copy(w, bytes.NewReader(text))
	if err := errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	code, words, err := client.Text.ReadResponse(250)
	return fmt.Sprintf("%d %s", code, words), err
}
