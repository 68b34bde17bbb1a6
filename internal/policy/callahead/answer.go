package callahead

// Verdict is what a host says of a recipient.
type Verdict uint8

// The verdicts.
const (
	Silent  Verdict = iota // nothing: it cannot be asked, or speaks of other things
	Taken                  // it takes mail for it
	Refused                // there is nobody
	Later                  // it takes none for it now
	Barred                 // it refuses the recipient, or us: which of them cannot be told
	Closed                 // it refuses the recipient, but not us
	Vague                  // it refuses, and does not tell whether there is nobody or it wants none from us
)

// String is the verdict's name as it stands in metrics.
func (v Verdict) String() string {
	switch v {
	case Taken:
		return "taken"
	case Refused:
		return "refused"
	case Later:
		return "later"
	case Barred:
		return "barred"
	case Closed:
		return "closed"
	case Vague:
		return "vague"
	}
	return "silent"
}

// Answer is what came of a question.
type Answer struct {
	Verdict Verdict
	Reply   string // what the host said, or what is wrong, in one line
}

// Judge reads the reply to RCPT. A refusal for reasons of security, or of a command
// that the host does not want, may be about us, and is no word on whether the recipient
// is there. One without an enhanced code may be either: "550 unknown user" is as frequent
// as "550 relay not permitted", in all languages; so may one that names no detail, and
// 5.4.1, which is Exchange Online's for whom its directory has not. What else is wrong with
// the host's system or its ways (RFC 3463 §3.4, §3.5) is no word on a mailbox, and will be
// mended. A full mailbox is one that exists.
func Judge(code int, enhanced string) Verdict {
	subject, detail := digits(enhanced)
	switch {
	case code/100 == 2:
		return Taken
	case code == 421, code == 530, code == 535, code == 538:
		return Silent
	case code/100 == 4:
		return Later
	case code/100 != 5:
		return Silent
	case code <= 504, code == 555, subject == '7', subject == '5':
		return Barred
	case code == 552, subject == '2' && detail == '2':
		return Later
	case subject == 0, subject == '0', subject == '3' && detail == '0', subject == '4' && (detail == '0' || detail == '1'):
		return Vague
	case subject == '3', subject == '4':
		return Later
	}
	return Refused
}

// digits are the subject and the detail of an enhanced code "c.s.d" (RFC 3463 §2), 0
// where it has none of one digit.
func digits(enhanced string) (subject, detail byte) {
	if len(enhanced) < 4 || enhanced[1] != '.' || enhanced[3] != '.' {
		return 0, 0
	}
	if len(enhanced) == 5 {
		detail = enhanced[4]
	}
	return enhanced[2], detail
}
