package evcs

import (
	_ "embed"
	"maps"
	"strings"
	"sync"
)

// faultText is the catalogue of what faults of fields say.
//
//go:embed faults.tsv
var faultText string

// faultWords is the catalogue, read once: the whole texts, and those with a
// part that varies in the order of the file.
type faultWords struct {
	whole map[string]string
	parts []faultPattern
}

type faultPattern struct{ en, zh []string } // between the parts that vary

var faultCatalogue = sync.OnceValue(func() faultWords {
	w := faultWords{whole: make(map[string]string)}
	for line := range strings.Lines(faultText) {
		en, zh, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		switch {
		case !ok || strings.HasPrefix(en, "#"):
		case strings.Contains(en, "*"):
			w.parts = append(w.parts, faultPattern{strings.Split(en, "*"), strings.Split(zh, "*")})
		default:
			w.whole[en] = zh
		}
	}
	return w
})

// Chinese words a fault in Chinese; false when the catalogue does not know it,
// and then the text is as it was.
func (f FieldFault) Chinese() (FieldFault, bool) {
	words := faultCatalogue()
	if zh, ok := words.whole[f.Message]; ok {
		return FieldFault{f.Field, zh}, true
	}
	best := ""
	least := -1 // the fewest varying characters win: the closest pattern
	for _, p := range words.parts {
		if zh, loose, ok := p.fill(f.Message); ok && (least < 0 || loose < least) {
			best, least = zh, loose
		}
	}
	if least < 0 {
		return f, false
	}
	return FieldFault{f.Field, best}, true
}

// fill matches a text and puts its varying parts into the Chinese one.
func (p faultPattern) fill(text string) (zh string, loose int, ok bool) {
	rest, ok := strings.CutPrefix(text, p.en[0])
	if !ok {
		return "", 0, false
	}
	var b strings.Builder
	b.WriteString(p.zh[0])
	for i, next := range p.en[1:] {
		var part string
		if i == len(p.en)-2 {
			if !strings.HasSuffix(rest, next) {
				return "", 0, false
			}
			part, rest = rest[:len(rest)-len(next)], ""
		} else if part, rest, ok = strings.Cut(rest, next); !ok {
			return "", 0, false
		}
		loose += len(part)
		b.WriteString(part)
		b.WriteString(p.zh[i+1])
	}
	return b.String(), loose, true
}

// FactsIn is the facts of a refusal with the faults of fields in the language
// asked for.
func FactsIn(data map[string]any, english bool) map[string]any {
	faults, ok := data["errors"].([]FieldFault)
	if !ok || english {
		return data
	}
	worded := make([]FieldFault, len(faults))
	for i, f := range faults {
		worded[i], _ = f.Chinese()
	}
	data = maps.Clone(data)
	data["errors"] = worded
	return data
}
