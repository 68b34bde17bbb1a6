package imap

import (
	"strconv"

	"github.com/hayauma/hayauma/internal/wire/mime"
)

// AppendBody appends the value of BODY: the structure of a message or part
// without extension data. What nests was bounded when it was parsed.
//
// RFC 3501 §7.4.2
func AppendBody(dst []byte, part *mime.Part) []byte {
	return structure{}.part(dst, part)
}

// AppendBodyStructure appends the value of BODYSTRUCTURE.
//
// RFC 3501 §7.4.2
func AppendBodyStructure(dst []byte, part *mime.Part) []byte {
	return structure{extended: true}.part(dst, part)
}

type structure struct{ extended bool }

func (s structure) part(dst []byte, p *mime.Part) []byte {
	dst = append(dst, '(')
	if p.IsMultipart() && len(p.Children) > 0 {
		dst = s.multipart(dst, p)
	} else {
		dst = s.single(dst, p)
	}
	return append(dst, ')')
}

// multipart appends body-type-mpart. RFC 3501 §9
func (s structure) multipart(dst []byte, p *mime.Part) []byte {
	for i := range p.Children {
		dst = s.part(dst, &p.Children[i])
	}
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype)
	if !s.extended {
		return dst
	}
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params)
	return appendPlace(dst, p)
}

// single appends body-type-1part. RFC 3501 §9
func (s structure) single(dst []byte, p *mime.Part) []byte {
	major, minor := p.Type, p.Subtype
	embedded := p.Embedded()
	// A client takes these types to have the fields that go with them, so a
	// part that was not taken apart must not bear their names.
	if embedded == nil && (p.IsMultipart() || major == "message" && (minor == "rfc822" || minor == "global")) {
		major, minor = "application", "octet-stream"
	}
	dst = AppendString(dst, major)
	dst = append(dst, ' ')
	dst = AppendString(dst, minor)
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.ID)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.Description)
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Encoding)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, p.BodySize, 10)
	if embedded != nil {
		dst = append(dst, ' ')
		dst = AppendEnvelope(dst, embedded.Envelope)
		dst = append(dst, ' ')
		dst = s.part(dst, embedded)
	}
	if embedded != nil || major == "text" {
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, p.BodyLines, 10)
	}
	if !s.extended {
		return dst
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.MD5)
	return appendPlace(dst, p)
}

// appendPlace appends the extension data that all parts share: disposition,
// language and location.
func appendPlace(dst []byte, p *mime.Part) []byte {
	dst = append(dst, ' ')
	if p.Disposition == "" {
		dst = append(dst, "NIL"...)
	} else {
		dst = append(dst, '(')
		dst = AppendString(dst, p.Disposition)
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispositionParams)
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	dst = appendLanguages(dst, p.Language)
	dst = append(dst, ' ')
	return AppendNString(dst, p.Location)
}

func appendParams(dst []byte, params []mime.Param) []byte {
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i, p := range params {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendString(dst, p.Name)
		dst = append(dst, ' ')
		dst = AppendString(dst, p.Value)
	}
	return append(dst, ')')
}

func appendLanguages(dst []byte, tags []string) []byte {
	if len(tags) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i, tag := range tags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendString(dst, tag)
	}
	return append(dst, ')')
}
