package main

import (
	"strings"
)

// sendmail is what the flags of sendmail say.
type sendmail struct {
	fromHeader  bool // -t
	keepDots    bool // -i
	verbose     bool // -v
	help        bool
	sender      string // -f, -r
	senderGiven bool
	name        string // -F
	config      string // --config
	envelope    string // --envelope
	recipients  []string
}

// The letters of sendmail's flags.
const (
	lettersWithValue = "frFoObBNRVXChdLpqAe"
	lettersJoined    = "qpdCe" // of those: with a value only if it is joined
	lettersAlone     = "tivmnGU"
)

// parseSendmail reads the arguments as sendmail does: letters may be joined, a
// value may follow at once or as the next argument, "--" ends the flags.
func parseSendmail(args []string) (sendmail, error) {
	var o sendmail
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			o.recipients = append(o.recipients, args...)
			return o, nil
		case strings.HasPrefix(arg, "--"):
			rest, err := o.long(arg, args)
			if err != nil {
				return o, err
			}
			args = rest
		case len(arg) > 1 && arg[0] == '-':
			rest, err := o.letters(arg[1:], args)
			if err != nil {
				return o, err
			}
			args = rest
		default:
			o.recipients = append(o.recipients, arg)
		}
	}
	return o, nil
}

// long takes a flag of two dashes: ours, not sendmail's.
func (o *sendmail) long(arg string, rest []string) ([]string, error) {
	name, value, joined := strings.Cut(arg, "=")
	var to *string
	switch {
	case name == "--help" && !joined:
		o.help = true
		return rest, nil
	case name == "--config":
		to = &o.config
	case name == "--envelope":
		to = &o.envelope
	default:
		return nil, usagef("send does not know %s; 'hayauma send --help' shows what can be given", name)
	}
	if !joined {
		if len(rest) == 0 {
			return nil, usagef("%s needs the name of a file", name)
		}
		value, rest = rest[0], rest[1:]
	}
	*to = value
	return rest, nil
}

// letters takes the letters of one argument.
func (o *sendmail) letters(s string, rest []string) ([]string, error) {
	for s != "" {
		letter := s[0]
		s = s[1:]
		if strings.IndexByte(lettersWithValue, letter) < 0 {
			if strings.IndexByte(lettersAlone, letter) < 0 {
				return nil, usagef("send does not know -%c; 'hayauma send --help' shows what can be given", letter)
			}
			o.alone(letter)
			continue
		}
		if s == "" && strings.IndexByte(lettersJoined, letter) < 0 {
			if len(rest) == 0 {
				if letter == 'h' {
					o.help = true
					return rest, nil
				}
				return nil, usagef("-%c needs a value; 'hayauma send --help' shows what can be given", letter)
			}
			s, rest = rest[0], rest[1:]
		}
		return rest, o.value(letter, s)
	}
	return rest, nil
}

func (o *sendmail) alone(letter byte) {
	switch letter {
	case 't':
		o.fromHeader = true
	case 'i':
		o.keepDots = true
	case 'v':
		o.verbose = true
	}
}

func (o *sendmail) value(letter byte, value string) error {
	switch letter {
	case 'f', 'r':
		o.sender, o.senderGiven = value, true
	case 'F':
		o.name = value
	case 'o':
		o.keepDots = o.keepDots || value == "i"
	case 'O':
		o.keepDots = o.keepDots || strings.EqualFold(value, "IgnoreDots") || strings.EqualFold(value, "IgnoreDots=true")
	case 'b':
		if value != "m" {
			return usagef("send only sends (-bm): -b%s is not for this command; 'hayauma queue' and 'hayauma serve' do the rest", value)
		}
	case 'q':
		return usagef("send does not run the queue (-q%s): use 'hayauma queue retry'", value)
	}
	return nil
}
