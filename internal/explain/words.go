package explain

// Text is a sentence in each language.
type Text struct {
	EN string `json:"en"`
	JA string `json:"ja"`
}

// Language of an answer.
type Language string

// The languages that every row has.
const (
	English  Language = "en"
	Japanese Language = "ja"
)

// In is the text in a language.
func (t Text) In(l Language) string {
	if l == Japanese {
		return t.JA
	}
	return t.EN
}

// Actor is who must act.
type Actor string

// Those who can do something about a reply.
const (
	Sender         Actor = "sender"
	SenderAdmin    Actor = "sender-admin"
	Recipient      Actor = "recipient"
	RecipientAdmin Actor = "recipient-admin"
	Nobody         Actor = "nobody"
)

// Name is the actor in words; false for one that does not exist.
func (a Actor) Name() (Text, bool) {
	switch a {
	case Sender:
		return Text{"the sender", "送信者"}, true
	case SenderAdmin:
		return Text{"the administrator of the sending server or domain", "送信側のサーバーまたはドメインの管理者"}, true
	case Recipient:
		return Text{"the recipient", "受信者"}, true
	case RecipientAdmin:
		return Text{"the recipient's administrator", "受信側の管理者"}, true
	case Nobody:
		return Text{"nobody", "対応不要"}, true
	}
	return Text{}, false
}

// Kind is what a reply does to the message.
type Kind string

// The kinds of replies.
const (
	Success   Kind = "success"
	Continue  Kind = "continue"
	Temporary Kind = "temporary"
	Permanent Kind = "permanent"
	Unknown   Kind = "unknown"
)

// kindOf a class, which is the first digit of a code (RFC 5321 §4.2.1).
func kindOf(class byte) Kind {
	switch class {
	case '2':
		return Success
	case '3':
		return Continue
	case '4':
		return Temporary
	case '5':
		return Permanent
	}
	return Unknown
}

// Name is the kind in words.
func (k Kind) Name() Text {
	switch k {
	case Success:
		return Text{"success", "成功"}
	case Continue:
		return Text{"no failure: the server waits for more", "エラーではありません(続きの入力待ち)"}
	case Temporary:
		return Text{"temporary failure: the sending server keeps the message and tries again", "一時エラー(送信側のサーバーがメールを保持し、再送します)"}
	case Permanent:
		return Text{"permanent failure: the message is not tried again and comes back to its sender", "恒久エラー(再送されず、送信者にエラーメールが返されます)"}
	}
	return Text{"not known: the text has no code", "不明(応答コードがありません)"}
}
