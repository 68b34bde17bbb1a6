package imap

import "strconv"

// Result is the first word of a status response. RFC 3501 §7.1
type Result string

// The results of RFC 3501 §7.1.
const (
	OK      Result = "OK"
	NO      Result = "NO"
	BAD     Result = "BAD"
	Bye     Result = "BYE"
	PreAuth Result = "PREAUTH"
)

// Code is a response code without its brackets; empty for none.
type Code string

// Response codes without arguments. RFC 3501 §7.1, RFC 4315 §3, RFC 5530 §3,
// RFC 7888 §4
const (
	CodeAlert         Code = "ALERT"
	CodeParse         Code = "PARSE"
	CodeReadOnly      Code = "READ-ONLY"
	CodeReadWrite     Code = "READ-WRITE"
	CodeTryCreate     Code = "TRYCREATE"
	CodeUIDNotSticky  Code = "UIDNOTSTICKY"
	CodeTooBig        Code = "TOOBIG"
	CodeUnavailable   Code = "UNAVAILABLE"
	CodeAuthFailed    Code = "AUTHENTICATIONFAILED"
	CodeAuthorization Code = "AUTHORIZATIONFAILED"
	CodePrivacy       Code = "PRIVACYREQUIRED"
	CodeNoPerm        Code = "NOPERM"
	CodeInUse         Code = "INUSE"
	CodeExpungeIssued Code = "EXPUNGEISSUED"
	CodeServerBug     Code = "SERVERBUG"
	CodeClientBug     Code = "CLIENTBUG"
	CodeCannot        Code = "CANNOT"
	CodeLimit         Code = "LIMIT"
	CodeOverQuota     Code = "OVERQUOTA"
	CodeAlreadyExists Code = "ALREADYEXISTS"
	CodeNonexistent   Code = "NONEXISTENT"
)

// CodeUIDNext tells the UID that the next message gets. RFC 3501 §7.1
func CodeUIDNext(uid uint32) Code { return numberCode("UIDNEXT ", uid) }

// CodeUIDValidity tells the validity value of the UIDs. RFC 3501 §7.1
func CodeUIDValidity(validity uint32) Code { return numberCode("UIDVALIDITY ", validity) }

// CodeUnseen tells the sequence number of the first message that is not seen.
// RFC 3501 §7.1
func CodeUnseen(seq uint32) Code { return numberCode("UNSEEN ", seq) }

func numberCode(name string, n uint32) Code {
	return Code(strconv.AppendUint([]byte(name), uint64(n), 10))
}

// CodePermanentFlags tells which flags can be kept. RFC 3501 §7.1
func CodePermanentFlags(flags ...Flag) Code {
	return Code(AppendFlags([]byte("PERMANENTFLAGS "), flags))
}

// CodeCapability tells the capabilities in a greeting or the reply to a login.
// RFC 3501 §7.1
func CodeCapability(names ...string) Code {
	dst := []byte("CAPABILITY")
	for _, name := range names {
		dst = append(dst, ' ')
		dst = append(dst, name...)
	}
	return Code(dst)
}

// CodeBadCharset tells the charsets that SEARCH knows. RFC 3501 §7.1
func CodeBadCharset(charsets ...string) Code {
	dst := []byte("BADCHARSET (")
	for i, name := range charsets {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendAString(dst, name)
	}
	return Code(append(dst, ')'))
}

// CodeAppendUID tells where the message of APPEND went. RFC 4315 §3
func CodeAppendUID(validity, uid uint32) Code {
	dst := strconv.AppendUint([]byte("APPENDUID "), uint64(validity), 10)
	dst = append(dst, ' ')
	return Code(strconv.AppendUint(dst, uint64(uid), 10))
}

// CodeCopyUID tells which messages were copied and what their UIDs are in the
// mailbox that has the given validity. Both ascend alike: the n-th of from
// became the n-th of to. RFC 4315 §3
func CodeCopyUID(validity uint32, from, to SeqSet) Code {
	dst := strconv.AppendUint([]byte("COPYUID "), uint64(validity), 10)
	dst = append(dst, ' ')
	dst = from.Append(dst)
	dst = append(dst, ' ')
	return Code(to.Append(dst))
}

// AppendFlags appends flags in parentheses.
func AppendFlags(dst []byte, flags []Flag) []byte {
	dst = append(dst, '(')
	for i, f := range flags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, f...)
	}
	return append(dst, ')')
}
