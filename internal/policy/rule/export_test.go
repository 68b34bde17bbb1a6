package rule

// Begin is Store.Open for rules that are in no database. Their ids are made up.
func Begin(rules []Rule, f Facts) (*Case, error) {
	var list []*compiled
	for i, r := range rules {
		if r.ID == 0 {
			r.ID = 1
			r.ID += rules[max(i-1, 0)].ID
		}
		rules[i].ID = r.ID
		c, err := compile(r)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return New(Options{}).newCase(list, f), nil
}

// Glob is the comparison with a text in which * stands for any characters.
func Glob(pattern, text string) bool { return glob(pattern, text) }
