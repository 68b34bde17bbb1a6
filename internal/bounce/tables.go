package bounce

import (
	"time"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/queue"
	"github.com/hayauma/hayauma/internal/relay/event"
)

// occasion is why a report is written.
type occasion struct {
	notify  mail.Notify
	kind    event.Kind
	returns bool // the message, and not only its header, if the sender asked for it (RFC 3461 §6.3)
}

// concerns tells whether the sender wants to hear of a recipient. Of a success
// the queue tells only where somebody wants to know.
func (o occasion) concerns(r queue.Recipient) bool {
	if r.State == queue.Served {
		return r.Notify&mail.NotifyNever == 0
	}
	return r.Notify.Wants(o.notify)
}

// The occasions.
var (
	failure = occasion{notify: mail.NotifyFailure, kind: event.Bounced, returns: true}
	success = occasion{notify: mail.NotifySuccess, kind: event.Relayed}
	delay   = occasion{notify: mail.NotifyDelay, kind: event.Delayed}
)

// phrases are what people read of a report. %s stands for the name of a host, for a
// time, or for an address.
type phrases struct {
	From     string // whose report it is
	Failure  opening
	Success  opening
	Delay    opening
	NotYet   string // of a recipient: not delivered so far
	Late     string // by the time that the sender gave
	GivenUp  string
	ByHand   string // given up by the administrator; what the last attempt found stands behind it
	Cannot   string // our own finding
	Refused  string
	Through  string // behind a recipient: the address of the sender that led there
	Filed    string
	Expanded string // a group
	Unheard  string // a group whose failures the sender does not want to hear of
	GoesOn   string // a host that keeps to the sender's time
	Taken    string // a host that does not tell of success
	Means    string // before the explanation of a reply
	Ruled    string // instead of it: a rule of ours made the reply final
	Until    string // when we stop trying
	Time     string // how that is written
	Original string
	ID       string
	Redacted string // why no more is told of the message
}

// opening is how a report begins.
type opening struct{ Subject, Intro string }

// opening is that of an occasion.
func (w phrases) opening(k event.Kind) opening {
	switch k {
	case event.Relayed:
		return w.Success
	case event.Delayed:
		return w.Delay
	}
	return w.Failure
}

// phrasesIn are those of a language: of English, where there are none.
func phrasesIn(language string) phrases {
	if language == "ja" {
		return japanese
	}
	return english
}

var english = phrases{
	From:    "This is the mail system at %s.",
	Failure: opening{"Undelivered mail returned to sender", "Your message could not be delivered to the following recipients. We will not try again.\n"},
	Success: opening{"Delivered mail (as you asked to be told)", "Your message has reached the following recipients.\n"},
	Delay: opening{"Delayed mail (still being retried)",
		"Your message could not be delivered yet to the following recipients.\nWe keep trying; you need not send it again.\n"},
	NotYet:   "not delivered so far",
	Late:     "not delivered by the time that you gave",
	GivenUp:  "given up: the time for delivery is over",
	ByHand:   "given up by the administrator",
	Cannot:   "cannot be delivered",
	Refused:  "refused by %s",
	Through:  " (expanded from <%s>)",
	Filed:    "delivered to the mailbox",
	Expanded: "passed on to the members of this group, of whom you will hear no more unless it fails",
	Unheard:  "passed on to the members of this group; you did not ask to hear of failures, so that you will not be told of members who cannot be reached",
	GoesOn:   "taken by %s, which goes on with it",
	Taken:    "taken by %s, which does not tell what becomes of it",
	Means:    "What that means: ",
	Ruled:    "By its code this is for now; here a rule says that such a reply is final.",
	Until:    "We try until %s.",
	Time:     time.RFC1123Z,
	Original: "The message was:",
	ID:       "Our id: ",
	Redacted: "You asked for TLS all the way (REQUIRETLS). The way back to you may not have it,\nso that nothing else of the message is returned.",
}

var japanese = phrases{
	From:    "%s のメールシステムからのお知らせです。",
	Failure: opening{"メールを配送できませんでした", "お送りになったメールを次の宛先に届けることができませんでした。再送は行いません。\n"},
	Success: opening{"メールを配送しました（ご希望による通知）", "お送りになったメールは次の宛先に届きました。\n"},
	Delay: opening{"メールの配送が遅れています（再送を続けています）",
		"お送りになったメールは次の宛先にまだ届いていません。\n再送を続けていますので、送り直す必要はありません。\n"},
	NotYet:   "まだ届いていません",
	Late:     "ご指定の時間内に届きませんでした",
	GivenUp:  "再送の期限が過ぎたため、配送を取りやめました",
	ByHand:   "管理者が配送を取りやめました",
	Cannot:   "配送できません",
	Refused:  "%s が受け取りを拒否しました",
	Through:  "（<%s> 宛の転送先）",
	Filed:    "メールボックスに届きました",
	Expanded: "グループのメンバーに送りました。この先は失敗した場合にだけお知らせします",
	Unheard:  "グループのメンバーに送りました。失敗の通知は希望されていないため、届かないメンバーがいてもお知らせしません",
	GoesOn:   "%s が受け取り、配送を続けます",
	Taken:    "%s が受け取りました。この先の結果は通知されません",
	Means:    "意味: ",
	Ruled:    "応答コードは一時的な拒否ですが、当システムの規則により再送は行いません。",
	Until:    "%s まで再送します。",
	Time:     "2006年1月2日 15:04 (-0700)",
	Original: "お送りになったメール:",
	ID:       "受付番号: ",
	Redacted: "このメールは全経路での TLS（REQUIRETLS）が指定されていました。\n返信の経路では TLS が保証されないため、これ以外の内容は返送しません。",
}
