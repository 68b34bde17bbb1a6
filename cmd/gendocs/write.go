package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hayauma/hayauma/internal/config"
)

const about = `Sizes are plain bytes or have a unit: KB, MB, GB (powers of 1000), KiB, MiB,
GiB (powers of 1024). Durations have units: d, h, m, s, ms ("1d12h"). Relative
file names start at the folder of this file. An unknown key is an error. SIGHUP
applies changes without dropping a session, except where a restart is named.`

// reference writes config.md.
func reference(sections []section) []byte {
	var b bytes.Buffer
	b.WriteString("<!-- Generated from internal/config/config.go by go generate; do not edit. -->\n\n")
	b.WriteString("# Settings\n\nThe file is `hayauma.toml`: the one named with `--config`, else `./hayauma.toml`,\n")
	b.WriteString("else `/etc/hayauma/hayauma.toml`. Only `hostname` is required.\n\n" + about + "\n")
	for _, s := range sections {
		if s.name != "" {
			fmt.Fprintf(&b, "\n## [%s]\n\n%s\n", s.name, s.doc)
		}
		for _, k := range s.keys {
			fmt.Fprintf(&b, "\n### `%s`\n\n%s\n\n%s\n", k.setting.Key, k.doc, facts(k.setting))
		}
	}
	return b.Bytes()
}

// facts writes default and bounds in one line.
func facts(s config.Setting) string {
	parts := []string{"Default: `" + s.Value + "`."}
	if required(s) {
		parts = []string{"Required."}
	}
	if s.OneOf != nil {
		parts = append(parts, "One of `"+strings.Join(s.OneOf, "`, `")+"`.")
	}
	if s.Min != "" {
		parts = append(parts, "At least `"+s.Min+"`.")
	}
	if s.Max != "" {
		parts = append(parts, "At most `"+s.Max+"`.")
	}
	if s.Restart {
		parts = append(parts, "A change needs a restart.")
	}
	return strings.Join(parts, " ")
}

// required tells whether the file must set s.
func required(s config.Setting) bool { return s.Key == "hostname" }

// example writes hayauma.toml.example: it is a working file as it stands, and
// each commented key shows its default.
func example(sections []section) []byte {
	var b bytes.Buffer
	b.WriteString("# Settings of Hayauma. Every key but hostname is optional; a line that begins\n")
	b.WriteString("# with #key = value shows the default. Generated from internal/config/config.go.\n#\n")
	comment(&b, about)
	for _, s := range sections {
		if s.name != "" {
			b.WriteString("\n")
			comment(&b, s.doc)
			fmt.Fprintf(&b, "[%s]\n", s.name)
		}
		for _, k := range s.keys {
			b.WriteString("\n")
			comment(&b, k.doc)
			if required(k.setting) {
				b.WriteString(k.name + " = \"mx1.example.test\"\n")
				continue
			}
			fmt.Fprintf(&b, "#%s = %s\n", k.name, k.setting.Value)
		}
	}
	return b.Bytes()
}

// comment writes text as TOML comment lines.
func comment(b *bytes.Buffer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
}
