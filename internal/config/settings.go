package config

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Setting is one key with its value, for listings and the reference.
type Setting struct {
	Key     string   // like limits.recipients
	Value   string   // as it would stand in the file
	Line    int      // where the file sets it; 0 = the default
	Restart bool     // a change needs a restart
	Min     string   // the least value allowed; empty = no bound
	Max     string   // the greatest value allowed; empty = no bound
	OneOf   []string // the words allowed; empty = any
}

// Settings returns every setting in the order of the struct.
func (c *Config) Settings() []Setting {
	var all []Setting
	c.walk(func(f field) {
		all = append(all, Setting{
			Key: f.key, Value: literal(f.value), Line: c.origin.lines[f.key],
			Restart: f.tag.Get("apply") == "restart",
			Min:     f.tag.Get("min"), Max: f.tag.Get("max"), OneOf: f.words(),
		})
	})
	return all
}

// File returns the path of the file that was read; empty = none.
func (c *Config) File() string { return c.origin.file }

// Changes tells which keys differ between two configurations.
type Changes struct {
	Restart []string // take effect at the next start
	Reload  []string // take effect on SIGHUP
}

// Diff compares two configurations key by key, in the order of the struct.
func Diff(before, after *Config) Changes {
	var ch Changes
	was := before.Settings()
	for i, s := range after.Settings() {
		switch {
		case s.Value == was[i].Value:
		case s.Restart:
			ch.Restart = append(ch.Restart, s.Key)
		default:
			ch.Reload = append(ch.Reload, s.Key)
		}
	}
	return ch
}

// field is one setting of a configuration, open for reading and writing.
type field struct {
	key   string
	value reflect.Value
	tag   reflect.StructTag
}

// words returns the words that the field allows.
func (f field) words() []string {
	if s := f.tag.Get("oneof"); s != "" {
		return strings.Split(s, ",")
	}
	return nil
}

// walk calls fn for each setting in the order of the struct.
func (c *Config) walk(fn func(field)) {
	walkStruct(reflect.ValueOf(c).Elem(), "", fn)
}

func walkStruct(v reflect.Value, path string, fn func(field)) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		key := join(path, sf.Tag.Get("toml"))
		if sf.Type.Kind() == reflect.Struct {
			walkStruct(v.Field(i), key, fn)
			continue
		}
		fn(field{key: key, value: v.Field(i), tag: sf.Tag})
	}
}

// literal writes a value as TOML.
func literal(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return quote(FormatDuration(x))
	case Size:
		return quote(x.String())
	case FreeSpace:
		return quote(x.String())
	case netip.Prefix:
		if x.IsSingleIP() {
			return quote(x.Addr().String())
		}
		return quote(x.String())
	case string:
		return quote(x)
	case bool:
		return strconv.FormatBool(x)
	case int:
		return strconv.Itoa(x)
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = literal(v.Index(i))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// quote writes a TOML basic string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			const hex = "0123456789abcdef"
			b.WriteString(`\u00`)
			b.WriteByte(hex[r>>4])
			b.WriteByte(hex[r&15])
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
