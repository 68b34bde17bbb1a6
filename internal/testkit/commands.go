package testkit

import "regexp"

// lineForm is "C: text", "S2~ pattern", "C64: base64", "S= escaped".
var lineForm = regexp.MustCompile(`^([CS])(64|[0-9]?|[0-9]/64)([:~=])(?: (.*)|)$`)

// directiveForm is "[end]", "[close]", "[closed 2]", "[starttls]".
var directiveForm = regexp.MustCompile(`^\[(end|close|closed|starttls)(?: ([0-9]))?\]$`)

// happensForm is "[do something]".
var happensForm = regexp.MustCompile(`^\[do ([a-z0-9 ]+)\]$`)
