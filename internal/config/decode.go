package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// decode reads data over the defaults and returns every problem of form: an
// unknown key, a value of the wrong kind. A setting with a problem keeps its
// default.
func decode(name string, data []byte) (*Config, []error) {
	c := Default()
	c.origin.file = name
	var tree map[string]any
	if err := toml.Unmarshal(data, &tree); err != nil {
		return c, []error{syntaxError(name, err)}
	}
	c.origin.lines = keyLines(data)
	d := decoder{origin: c.origin}
	c.walk(func(f field) { d.known = append(d.known, f.key) })
	d.table(reflect.ValueOf(c).Elem(), "", tree)
	return c, d.problems
}

// syntaxError says where the file stops being TOML.
func syntaxError(name string, err error) error {
	text := strings.TrimPrefix(err.Error(), "toml: ")
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, col := de.Position()
		return fmt.Errorf("%s:%d:%d: not TOML: %s; correct this line", name, row, col, text)
	}
	return fmt.Errorf("%s: not TOML: %s; correct the file", name, text)
}

// decoder moves a TOML tree into the struct tree and collects problems.
type decoder struct {
	origin   origin
	known    []string
	problems []error
}

// table moves one table into the struct dst.
func (d *decoder) table(dst reflect.Value, path string, tree map[string]any) {
	fields := map[string]reflect.Value{}
	for i := range dst.NumField() {
		if sf := dst.Type().Field(i); sf.IsExported() {
			fields[sf.Tag.Get("toml")] = dst.Field(i)
		}
	}
	names := slices.Collect(maps.Keys(tree))
	slices.SortFunc(names, func(a, b string) int {
		byLine := d.origin.lines[join(path, a)] - d.origin.lines[join(path, b)]
		if byLine != 0 {
			return byLine
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		key := join(path, name)
		dst, ok := fields[name]
		if !ok {
			d.unknown(key, tree[name])
			continue
		}
		if dst.Kind() != reflect.Struct {
			d.value(dst, key, tree[name])
			continue
		}
		sub, ok := tree[name].(map[string]any)
		if !ok {
			d.problems = append(d.problems, d.origin.problem(key, "",
				"is a section; write ["+key+"] on a line of its own and its keys below"))
			continue
		}
		d.table(dst, key, sub)
	}
}

// unknown notes a key that no setting has. A section is compared with sections.
func (d *decoder) unknown(key string, value any) {
	candidates := d.known
	if _, isTable := value.(map[string]any); isTable {
		candidates = nil
		for _, k := range d.known {
			if section, _, found := strings.Cut(k, "."); found {
				candidates = append(candidates, section)
			}
		}
	}
	d.problems = append(d.problems, &UnknownKey{
		File: d.origin.file, Line: d.origin.lines[key], Key: key, Nearest: nearest(key, candidates),
	})
}

// value moves one value into the setting dst.
func (d *decoder) value(dst reflect.Value, key string, raw any) {
	parsed, err := parseValue(dst.Type(), raw)
	if err != nil {
		d.problems = append(d.problems, d.origin.problem(key, show(raw),
			err.Error()+"; correct it, or remove the line for the default "+literal(dst)))
		return
	}
	dst.Set(parsed)
}

// parseValue makes a value of type t from what go-toml read.
func parseValue(t reflect.Type, raw any) (reflect.Value, error) {
	if t.Kind() == reflect.Slice {
		items, ok := raw.([]any)
		if !ok {
			return reflect.Value{}, errors.New(`must be a list, like ["a", "b"] or []`)
		}
		list := reflect.MakeSlice(t, 0, len(items))
		for _, item := range items {
			v, err := parseValue(t.Elem(), item)
			if err != nil {
				return reflect.Value{}, err
			}
			list = reflect.Append(list, v)
		}
		return list, nil
	}
	v, err := parseScalar(t, raw)
	if err != nil {
		return reflect.Value{}, err
	}
	return reflect.ValueOf(v), nil
}

// parseScalar reads one value that is no list.
func parseScalar(t reflect.Type, raw any) (any, error) {
	text, isText := raw.(string)
	number, isNumber := raw.(int64)
	switch t {
	case reflect.TypeFor[bool]():
		if b, ok := raw.(bool); ok {
			return b, nil
		}
		return nil, errors.New("must be true or false, without quotes")
	case reflect.TypeFor[int]():
		if isNumber && number >= math.MinInt && number <= math.MaxInt {
			return int(number), nil
		}
		return nil, errors.New("must be a whole number, without quotes")
	case reflect.TypeFor[time.Duration]():
		if isText {
			return ParseDuration(text)
		}
		return nil, errDuration
	case reflect.TypeFor[Size](), reflect.TypeFor[FreeSpace]():
		if isNumber && number >= 0 {
			text, isText = fmt.Sprint(number), true
		}
		if !isText {
			return nil, errSize
		}
		if t == reflect.TypeFor[FreeSpace]() {
			return parseFreeSpace(text)
		}
		return ParseSize(text)
	case reflect.TypeFor[netip.Prefix]():
		return parseNetwork(text)
	}
	if isText {
		return text, nil
	}
	return nil, errors.New("must be text in quotes")
}

// parseNetwork reads "10.0.0.0/8", "2001:db8::/32" or a single address.
func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New(`each entry must be a network like "10.0.0.0/8" or a single address`)
	}
	return p.Masked(), nil
}

// show writes what go-toml read for an error message.
func show(raw any) string {
	switch x := raw.(type) {
	case string:
		return quote(x)
	case []any:
		parts := make([]string, 0, len(x))
		for _, item := range x {
			parts = append(parts, show(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		return "{...}"
	}
	return fmt.Sprint(raw)
}
