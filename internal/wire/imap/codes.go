package imap

// systemFlags is in the case that parsed flags get.
var systemFlags = []Flag{FlagSeen, FlagAnswered, FlagFlagged, FlagDeleted, FlagDraft, FlagRecent}

// fetchNames is what items are called in commands and responses alike.
var fetchNames = map[FetchKind]string{
	FetchFlags:         "FLAGS",
	FetchUID:           "UID",
	FetchInternalDate:  "INTERNALDATE",
	FetchSize:          "RFC822.SIZE",
	FetchEnvelope:      "ENVELOPE",
	FetchBody:          "BODY",
	FetchBodyStructure: "BODYSTRUCTURE",
	FetchRFC822:        "RFC822",
	FetchRFC822Header:  "RFC822.HEADER",
	FetchRFC822Text:    "RFC822.TEXT",
}

var fetchKinds = map[string]FetchKind{
	"FLAGS":         FetchFlags,
	"UID":           FetchUID,
	"INTERNALDATE":  FetchInternalDate,
	"RFC822.SIZE":   FetchSize,
	"ENVELOPE":      FetchEnvelope,
	"BODYSTRUCTURE": FetchBodyStructure,
	"RFC822":        FetchRFC822,
	"RFC822.HEADER": FetchRFC822Header,
	"RFC822.TEXT":   FetchRFC822Text,
}

// RFC 3501 §6.4.5
var fetchMacros = map[string][]FetchKind{
	"FAST": {FetchFlags, FetchInternalDate, FetchSize},
	"ALL":  {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope},
	"FULL": {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody},
}

var specifierNames = map[Specifier]string{
	SectionHeader:    "HEADER",
	SectionFields:    "HEADER.FIELDS",
	SectionFieldsNot: "HEADER.FIELDS.NOT",
	SectionText:      "TEXT",
	SectionMIME:      "MIME",
}

// keyShape is what follows the name of a key.
type keyShape uint8

const (
	shapeNone keyShape = iota
	shapeText
	shapeHeader
	shapeDate
	shapeSize
	shapeKeyword
	shapeUID
	shapeNot
	shapeOr
)

type keyRow struct {
	op    KeyOp
	shape keyShape
	flag  Flag
}

// searchKeys has every key that begins with a word, but for NEW.
//
// RFC 3501 §6.4.4
var searchKeys = map[string]keyRow{
	"ALL":        {op: KeyAll},
	"ANSWERED":   {op: KeyFlag, flag: FlagAnswered},
	"BCC":        {op: KeyBcc, shape: shapeText},
	"BEFORE":     {op: KeyBefore, shape: shapeDate},
	"BODY":       {op: KeyBody, shape: shapeText},
	"CC":         {op: KeyCc, shape: shapeText},
	"DELETED":    {op: KeyFlag, flag: FlagDeleted},
	"DRAFT":      {op: KeyFlag, flag: FlagDraft},
	"FLAGGED":    {op: KeyFlag, flag: FlagFlagged},
	"FROM":       {op: KeyFrom, shape: shapeText},
	"HEADER":     {op: KeyHeader, shape: shapeHeader},
	"KEYWORD":    {op: KeyFlag, shape: shapeKeyword},
	"LARGER":     {op: KeyLarger, shape: shapeSize},
	"NOT":        {op: KeyNot, shape: shapeNot},
	"OLD":        {op: KeyNoFlag, flag: FlagRecent},
	"ON":         {op: KeyOn, shape: shapeDate},
	"OR":         {op: KeyOr, shape: shapeOr},
	"RECENT":     {op: KeyFlag, flag: FlagRecent},
	"SEEN":       {op: KeyFlag, flag: FlagSeen},
	"SENTBEFORE": {op: KeySentBefore, shape: shapeDate},
	"SENTON":     {op: KeySentOn, shape: shapeDate},
	"SENTSINCE":  {op: KeySentSince, shape: shapeDate},
	"SINCE":      {op: KeySince, shape: shapeDate},
	"SMALLER":    {op: KeySmaller, shape: shapeSize},
	"SUBJECT":    {op: KeySubject, shape: shapeText},
	"TEXT":       {op: KeyText, shape: shapeText},
	"TO":         {op: KeyTo, shape: shapeText},
	"UID":        {op: KeyUID, shape: shapeUID},
	"UNANSWERED": {op: KeyNoFlag, flag: FlagAnswered},
	"UNDELETED":  {op: KeyNoFlag, flag: FlagDeleted},
	"UNDRAFT":    {op: KeyNoFlag, flag: FlagDraft},
	"UNFLAGGED":  {op: KeyNoFlag, flag: FlagFlagged},
	"UNKEYWORD":  {op: KeyNoFlag, shape: shapeKeyword},
	"UNSEEN":     {op: KeyNoFlag, flag: FlagSeen},
}

// keyNames is what the keys that print a name are called.
var keyNames = map[KeyOp]string{
	KeyAll: "ALL", KeyOr: "OR ", KeyNot: "NOT ", KeyUID: "UID ",
	KeyHeader: "HEADER ", KeyFrom: "FROM ", KeyTo: "TO ", KeyCc: "CC ", KeyBcc: "BCC ",
	KeySubject: "SUBJECT ", KeyBody: "BODY ", KeyText: "TEXT ",
	KeyBefore: "BEFORE ", KeyOn: "ON ", KeySince: "SINCE ",
	KeySentBefore: "SENTBEFORE ", KeySentOn: "SENTON ", KeySentSince: "SENTSINCE ",
	KeyLarger: "LARGER ", KeySmaller: "SMALLER ",
}

// flagKeys names the flags that have keys of their own, without UN.
var flagKeys = map[Flag]string{
	FlagSeen: "SEEN", FlagAnswered: "ANSWERED", FlagFlagged: "FLAGGED",
	FlagDeleted: "DELETED", FlagDraft: "DRAFT",
}
