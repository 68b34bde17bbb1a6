package rate

// Measure is what is counted.
type Measure uint8

// The measures.
const (
	Messages      Measure = iota
	Recipients            // of all messages, those at home included
	NewRecipients         // those that the account has not written to of late
	measures
)

// Span is over how long it is counted.
type Span uint8

// The spans.
const (
	Minute Span = iota
	Hour
	Day
	spans
)

// Rule is one limit that can be set.
type Rule struct {
	Name    string // of the setting: "messages_per_day"
	Measure Measure
	Span    Span
}

// ruleCount is how many rules there are.
const ruleCount = 7

// ruleTable holds all rules. A limit is stored under the name of its rule.
var ruleTable = [ruleCount]Rule{
	{"messages_per_minute", Messages, Minute},
	{"messages_per_hour", Messages, Hour},
	{"messages_per_day", Messages, Day},
	{"recipients_per_minute", Recipients, Minute},
	{"recipients_per_hour", Recipients, Hour},
	{"recipients_per_day", Recipients, Day},
	{"new_recipients_per_day", NewRecipients, Day},
}

// Rules returns all rules in the order of Limits.
func Rules() []Rule { return ruleTable[:] }

// Limits holds the limit of each rule in the order of Rules; 0 = none.
type Limits [ruleCount]int64

// spanTable says how a span is counted: in slots of so many seconds, which make
// up the span. A shorter slot is more exact, a longer one needs less memory.
var spanTable = [spans]struct {
	slot, slots int64
	words       string
}{
	{5, 12, "a minute"},
	{5 * 60, 12, "an hour"},
	{60 * 60, 24, "a day"},
}

// measureTable names what is counted in a refusal.
var measureTable = [measures]struct{ one, many string }{{"message", "messages"}, {"recipient", "recipients"}, {"new address", "new addresses"}}

// whoTable names the kinds of a subject in a refusal.
var whoTable = map[Kind]string{
	Account: "This account",
	Domain:  "The domain of this account",
	Key:     "This API key",
}
