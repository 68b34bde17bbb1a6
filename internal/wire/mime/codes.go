package mime

// mediaTypes are the pairs that Marshal writes as one byte: the index plus
// one. Stored bytes depend on the order: append only, 255 at most.
var mediaTypes = [...][2]string{
	{"text", "plain"},
	{"text", "html"},
	{"multipart", "alternative"},
	{"multipart", "mixed"},
	{"multipart", "related"},
	{"multipart", "signed"},
	{"multipart", "report"},
	{"multipart", "digest"},
	{"message", "rfc822"},
	{"message", "delivery-status"},
	{"message", "global"},
	{"application", "octet-stream"},
	{"application", "pdf"},
	{"application", "pgp-signature"},
	{"application", "pkcs7-signature"},
	{"image", "jpeg"},
	{"image", "png"},
	{"image", "gif"},
	{"text", "calendar"},
	{"text", "csv"},
	{"text", "rfc822-headers"},
	{"application", "zip"},
	{"application", "msword"},
	{"application", "x-pkcs7-signature"},
	{"application", "pkcs7-mime"},
	{"multipart", "encrypted"},
	{"multipart", "form-data"},
	{"message", "disposition-notification"},
	{"audio", "mpeg"},
	{"video", "mp4"},
}

// encodings are written as one byte as mediaTypes are. Append only.
var encodings = [...]string{"7bit", "8bit", "quoted-printable", "base64", "binary"}

// known returns the table's copy of a common word, so that the header's copy
// can go.
func known(s string) string {
	switch s {
	case "text":
		return "text"
	case "plain":
		return "plain"
	case "html":
		return "html"
	case "multipart":
		return "multipart"
	case "7bit":
		return "7bit"
	case "8bit":
		return "8bit"
	case "quoted-printable":
		return "quoted-printable"
	case "base64":
		return "base64"
	}
	return s
}

// charsetAliases are names seen in mail that the indexes of golang.org/x/text
// lack or read otherwise than mail programs mean them.
var charsetAliases = map[string]string{
	"cp932":            "shift_jis",
	"cp943":            "shift_jis",
	"sjis-win":         "shift_jis",
	"cp51932":          "euc-jp",
	"eucjp":            "euc-jp",
	"eucjp-ms":         "euc-jp",
	"eucjp-win":        "euc-jp",
	"cp50220":          "iso-2022-jp",
	"cp50221":          "iso-2022-jp",
	"iso-2022-jp-1":    "iso-2022-jp",
	"iso-2022-jp-2":    "iso-2022-jp",
	"iso-2022-jp-3":    "iso-2022-jp",
	"iso-2022-jp-2004": "iso-2022-jp",
	"iso-2022-jp-ms":   "iso-2022-jp",
	"jis":              "iso-2022-jp",
	"cp936":            "gbk",
	"cp949":            "euc-kr",
	"cp950":            "big5",
	"latin-1":          "iso-8859-1",
	"ansi":             "windows-1252",
}

// zones are the obsolete zone names, in minutes east of UTC.
// RFC 5322 §4.3; the others are common in old mail.
var zones = map[string]int{
	"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "WET": 0,
	"EST": -300, "EDT": -240,
	"CST": -360, "CDT": -300,
	"MST": -420, "MDT": -360,
	"PST": -480, "PDT": -420,
	"JST": 540, "KST": 540, "HKT": 480,
	"BST": 60, "CET": 60, "MET": 60, "CEST": 120, "MEST": 120, "EET": 120, "EEST": 180, "MSK": 180,
}

const monthNames = "janfebmaraprmayjunjulaugsepoctnovdec"

// scanned are the fields that HeaderScanner knows.
var scanned = [...]string{"date", "from", "message-id", "received", "references", "return-path", "sender", "subject", "tls-required"}

// The indexes of scanned.
const (
	scanDate = iota
	scanFrom
	scanMessageID
	scanReceived
	scanReferences
	scanReturnPath
	scanSender
	scanSubject
	scanTLSRequired
)
