package mime

import (
	"encoding/binary"
	"slices"
)

// The stored form of a Part, version 1. Numbers are unsigned varints, a string
// is its length and its bytes, a list is its length and its elements.
//
//	stored    = version, parts, params, addresses, envelopes, languages (how
//	            many there are in all), part
//	part      = flags, media (0: type, subtype follow), encoding (0: a string
//	            follows), offset from the end of the part before it or from
//	            the parent's body, header size, header lines, body size, body
//	            lines, params; then by flags: ID, description, MD5,
//	            disposition and its params, languages, location, envelope,
//	            children
//	param     = name, value
//	envelope  = flags, date, subject, from, sender and reply-to unless flags
//	            say that they are from's, to, cc, bcc, in-reply-to, message-id
//	address   = flags, then unless it ends a group: name and ADL by flags,
//	            mailbox, host unless it begins a group
const storedVersion = 1

const (
	hasID = 1 << iota
	hasDescription
	hasMD5
	hasDisposition
	hasLanguage
	hasLocation
	hasEnvelope
	hasChildren
)

const (
	senderIsFrom = 1 << iota
	replyToIsFrom
	envelopeFlags = senderIsFrom | replyToIsFrom
)

const (
	kindMask = 3
	hasName  = 4
	hasADL   = 8
)

// counts are the totals that let Unmarshal allocate once per kind.
type counts struct{ parts, params, addresses, envelopes, languages int }

// Marshal writes a Part that Parse or Unmarshal made in its stored form.
func Marshal(p *Part) []byte {
	var c counts
	c.part(p)
	b := make([]byte, 0, 256+96*c.parts+48*c.params+48*c.addresses)
	b = append(b, storedVersion)
	for _, n := range [...]int{c.parts, c.params, c.addresses, c.envelopes, c.languages} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return appendPart(b, p, 0)
}

func (c *counts) part(p *Part) {
	c.parts++
	c.params += len(p.Params)
	if p.Disposition != "" {
		c.params += len(p.DispositionParams)
	}
	c.languages += len(p.Language)
	if e := p.Envelope; e != nil {
		c.envelopes++
		c.addresses += len(e.From) + len(e.To) + len(e.Cc) + len(e.Bcc)
		if !sameAddresses(e.Sender, e.From) {
			c.addresses += len(e.Sender)
		}
		if !sameAddresses(e.ReplyTo, e.From) {
			c.addresses += len(e.ReplyTo)
		}
	}
	for i := range p.Children {
		c.part(&p.Children[i])
	}
}

func appendPart(b []byte, p *Part, base int64) []byte {
	flags := partFlags(p)
	b = append(b, flags)
	b = appendMedia(b, p)
	if i := slices.Index(encodings[:], p.Encoding); i >= 0 {
		b = append(b, byte(i+1))
	} else {
		b = appendString(append(b, 0), p.Encoding)
	}
	for _, n := range [...]int64{p.Offset - base, p.HeaderSize, p.HeaderLines, p.BodySize, p.BodyLines} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = appendParams(b, p.Params)
	if flags&hasID != 0 {
		b = appendString(b, p.ID)
	}
	if flags&hasDescription != 0 {
		b = appendString(b, p.Description)
	}
	if flags&hasMD5 != 0 {
		b = appendString(b, p.MD5)
	}
	if flags&hasDisposition != 0 {
		b = appendParams(appendString(b, p.Disposition), p.DispositionParams)
	}
	if flags&hasLanguage != 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Language)))
		for _, l := range p.Language {
			b = appendString(b, l)
		}
	}
	if flags&hasLocation != 0 {
		b = appendString(b, p.Location)
	}
	if flags&hasEnvelope != 0 {
		b = appendEnvelope(b, p.Envelope)
	}
	if flags&hasChildren != 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Children)))
		base = p.BodyOffset()
		for i := range p.Children {
			b = appendPart(b, &p.Children[i], base)
			base = p.Children[i].End()
		}
	}
	return b
}

func partFlags(p *Part) byte {
	flags := byte(0)
	set := func(flag byte, on bool) {
		if on {
			flags |= flag
		}
	}
	set(hasID, p.ID != "")
	set(hasDescription, p.Description != "")
	set(hasMD5, p.MD5 != "")
	set(hasDisposition, p.Disposition != "")
	set(hasLanguage, len(p.Language) > 0)
	set(hasLocation, p.Location != "")
	set(hasEnvelope, p.Envelope != nil)
	set(hasChildren, len(p.Children) > 0)
	return flags
}

func appendMedia(b []byte, p *Part) []byte {
	if i := slices.Index(mediaTypes[:], [2]string{p.Type, p.Subtype}); i >= 0 {
		return append(b, byte(i+1))
	}
	return appendString(appendString(append(b, 0), p.Type), p.Subtype)
}

func appendEnvelope(b []byte, e *Envelope) []byte {
	flags := byte(0)
	if sameAddresses(e.Sender, e.From) {
		flags |= senderIsFrom
	}
	if sameAddresses(e.ReplyTo, e.From) {
		flags |= replyToIsFrom
	}
	b = append(b, flags)
	b = appendString(appendString(b, e.Date), e.Subject)
	b = appendList(b, e.From)
	if flags&senderIsFrom == 0 {
		b = appendList(b, e.Sender)
	}
	if flags&replyToIsFrom == 0 {
		b = appendList(b, e.ReplyTo)
	}
	b = appendList(appendList(appendList(b, e.To), e.Cc), e.Bcc)
	return appendString(appendString(b, e.InReplyTo), e.MessageID)
}

func appendList(b []byte, list []Address) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		a := &list[i]
		flags := byte(a.Kind)
		if a.Kind == Single && a.Name != "" {
			flags |= hasName
		}
		if a.Kind == Single && a.ADL != "" {
			flags |= hasADL
		}
		b = append(b, flags)
		if a.Kind == GroupEnd {
			continue
		}
		if flags&hasName != 0 {
			b = appendString(b, a.Name)
		}
		if flags&hasADL != 0 {
			b = appendString(b, a.ADL)
		}
		b = appendString(b, a.Mailbox)
		if a.Kind == Single {
			b = appendString(b, a.Host)
		}
	}
	return b
}

func appendParams(b []byte, params []Param) []byte {
	b = binary.AppendUvarint(b, uint64(len(params)))
	for i := range params {
		b = appendString(appendString(b, params[i].Name), params[i].Value)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
