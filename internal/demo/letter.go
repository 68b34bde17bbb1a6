package demo

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/emersion/go-message/mail"
)

// letter is one message with an attachment.
type letter struct {
	from, to  user
	subject   string
	id        string // of the Message-ID, without its domain
	messageID string // whole, with angles
	file      string
	data      []byte // of the attachment
	text      []byte // the whole message, CRLF line ends
}

// attachmentSize is enough for many lines, and not a multiple of any.
const attachmentSize = 70001

// compose builds the message.
func (l *letter) compose() error {
	id := fmt.Sprintf("%s.%s@%s", l.id, rand.Text(), l.from.home.domain)
	l.messageID = "<" + id + ">"
	l.file = "資料.bin"
	l.data = make([]byte, attachmentSize)
	_, _ = rand.Read(l.data) // never fails
	var h mail.Header
	h.SetDate(time.Now())
	h.SetMessageID(id)
	h.SetSubject(l.subject)
	h.SetAddressList("From", []*mail.Address{{Name: "アリス", Address: l.from.address}})
	h.SetAddressList("To", []*mail.Address{{Address: l.to.address}})
	var out bytes.Buffer
	w, err := mail.CreateWriter(&out, h)
	if err != nil {
		return err
	}
	if err := errors.Join(l.writeText(w), l.writeFile(w), w.Close()); err != nil {
		return fmt.Errorf("compose the message: %w", err)
	}
	l.text = out.Bytes()
	return nil
}

func (l *letter) writeText(w *mail.Writer) error {
	var h mail.InlineHeader
	h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	h.Set("Content-Transfer-Encoding", "base64")
	part, err := w.CreateSingleInline(h)
	if err != nil {
		return err
	}
	_, err = io.WriteString(part, "お世話になっております。\r\n資料を添付いたします。\r\n")
	return errors.Join(err, part.Close())
}

func (l *letter) writeFile(w *mail.Writer) error {
	var h mail.AttachmentHeader
	h.SetContentType("application/octet-stream", nil)
	h.SetFilename(l.file)
	h.Set("Content-Transfer-Encoding", "base64")
	part, err := w.CreateAttachment(h)
	if err != nil {
		return err
	}
	_, err = part.Write(l.data)
	return errors.Join(err, part.Close())
}

// seen is what a reader found in a message.
type seen struct {
	subject, file string
	size          int
	sum           string
}

// compare reads a message as a mail program does, and tells whether it is this
// letter.
func (l *letter) compare(raw []byte) (seen, error) {
	var got seen
	r, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		return got, err
	}
	if got.subject, err = r.Header.Subject(); err != nil {
		return got, err
	}
	for {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return got, err
		}
		h, ok := part.Header.(*mail.AttachmentHeader)
		if !ok {
			continue
		}
		if got.file, err = h.Filename(); err != nil {
			return got, err
		}
		data, err := io.ReadAll(part.Body)
		if err != nil {
			return got, err
		}
		got.size, got.sum = len(data), checksum(data)
	}
	want := seen{subject: l.subject, file: l.file, size: len(l.data), sum: checksum(l.data)}
	if got != want {
		return got, fmt.Errorf("the message is not the one that was sent: %+v, want %+v", got, want)
	}
	return got, nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
