package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hayauma/hayauma/internal/mail"
	"github.com/hayauma/hayauma/internal/mailbox"
)

// The limits that both worlds and the model are given: small ones, so that they
// are met.
const (
	maxBoxes   = 11 // mailboxes of an account, and as many subscriptions
	maxName    = 24 // octets of a mailbox name
	maxDepth   = 3  // levels of a mailbox name
	maxContent = 4000
	hostname   = "mx.hayauma.test"
)

// model is what the server should hold.
type model struct {
	step int // counts the commits that change mailboxes

	domains  map[string]bool // ASCII
	aliases  map[string]*alias
	accounts []*acct // in the order they were made
	unreaped int     // messages of erased accounts

	views []*view

	rcpts   []*rcpt // the queue, in the order of their ids
	running bool
	hold    bool
	open    map[int]bool // tokens whose attempts need not wait any more

	prints    map[string]*letter // accepted transactions whose sender may repeat them
	confirmed []*letter          // and those whose sender knows
	lifting   []string           // prints that the next commit of intake forgets
	unsure    map[string]bool    // prints of which a kill left open whether they are known
	fresh     []string           // events since they were last followed
	told      map[string][]string
	known     map[string][]string // Message-ID to messages accepted under it

	accountsMade, boxesMade, messagesMade, contentsMade, viewsMade, tokensMade int
}

func newModel() *model {
	return &model{
		domains: map[string]bool{}, aliases: map[string]*alias{}, open: map[int]bool{}, prints: map[string]*letter{},
		unsure: map[string]bool{}, told: map[string][]string{}, known: map[string][]string{},
	}
}

// alias is an address that leads to others.
type alias struct {
	domain  string
	targets []string // sorted, as people write them
}

// acct is an account and its mailboxes.
type acct struct {
	number     int
	address    mail.Address
	quota      int64
	boxes      map[string]*box
	subs       map[string]bool
	validities int   // UIDVALIDITYs given out
	reserved   int64 // octets promised to transactions under way
	erased     bool
}

// box is a mailbox.
type box struct {
	number   int
	name     string
	role     mailbox.Role
	noselect bool
	validity int // which of the account's UIDVALIDITYs
	uidnext  uint32
	mark     uint32 // UIDs from here on have been \Recent to nobody
	written  uint32 // mark as a new process finds it
	step     int    // of the last change to its messages
	list     []*msg // by UID
	gone     bool
}

// msg is one message of a mailbox.
type msg struct {
	uid      uint32
	flags    mailbox.Flags
	keywords []string
	size     int64
	date     int64 // 0 = when it was taken in
	prefix   string
	content  *content
	message  int
	thread   int
	step     int // of its last change
}

// letter is one message taken in by intake.
type letter struct {
	message int
	print   string
	from    string
	to      []string
	content *content
}

func (m *model) tick() int {
	m.step++
	return m.step
}

// event notes what the history must tell.
func (m *model) event(message int, recipient, line string) {
	line = strings.TrimSpace(recipient + " " + line)
	name := fmt.Sprintf("m%d", message)
	m.fresh = append(m.fresh, name+" "+line)
	m.told[name] = append(m.told[name], line)
}

func (b *box) at(uid uint32) *msg {
	i, ok := slices.BinarySearchFunc(b.list, uid, func(m *msg, uid uint32) int { return int(m.uid) - int(uid) })
	if !ok {
		return nil
	}
	return b.list[i]
}

func (b *box) remove(uid uint32) {
	b.list = slices.DeleteFunc(b.list, func(m *msg) bool { return m.uid == uid })
}

// add files a message at the end.
func (b *box) add(m *msg, step int) uint32 {
	m.uid, m.step, b.step = b.uidnext, step, step
	b.uidnext++
	b.list = append(b.list, m)
	return m.uid
}

func (b *box) size() (n int64) {
	for _, m := range b.list {
		n += m.size
	}
	return n
}

// count is how many messages a condition holds for.
func (b *box) count(is func(*msg) bool) (n int) {
	for _, m := range b.list {
		if is(m) {
			n++
		}
	}
	return n
}

func (a *acct) used() (octets int64, messages int) {
	for _, b := range a.boxes {
		octets += b.size()
		messages += len(b.list)
	}
	return octets, messages
}

// fits tells whether octets pass the quota beside what is there and promised.
func (a *acct) fits(octets int64) bool {
	used, _ := a.used()
	return a.quota == 0 || used+a.reserved+octets <= a.quota
}

// names are the account's mailboxes as LIST gives them.
func (a *acct) names() []string {
	names := slices.Sorted(maps.Keys(a.boxes))
	return append([]string{mailbox.Inbox}, slices.DeleteFunc(names, func(n string) bool { return n == mailbox.Inbox })...)
}

func (a *acct) holds(name string) bool {
	for other := range a.boxes {
		if strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// newBox makes a mailbox and gives it the next UIDVALIDITY.
func (m *model) newBox(a *acct, name string, role mailbox.Role, step int) *box {
	m.boxesMade++
	a.validities++
	b := &box{
		number: m.boxesMade, name: name, role: role, validity: a.validities,
		uidnext: 1, mark: 1, written: 1, step: step,
	}
	a.boxes[name] = b
	return b
}

// threadOf is the thread of the nearest of some Message-IDs that the account
// holds, 0 for none.
func (a *acct) threadOf(ids []string) int {
	for _, id := range ids {
		for _, b := range a.boxes {
			for _, m := range b.list {
				if m.content.messageID == id {
					return m.thread
				}
			}
		}
	}
	return 0
}

func (m *model) find(number int) *acct {
	for _, a := range m.accounts {
		if a.number == number {
			return a
		}
	}
	return nil
}

// owner is the account of just this key.
func (m *model) owner(key string) *acct {
	for _, a := range m.accounts {
		if a.address.Key() == key {
			return a
		}
	}
	return nil
}
