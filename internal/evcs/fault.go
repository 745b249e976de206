package evcs

import (
	_ "embed"
	"strings"
	"sync"
)

// faultText is the catalogue of what faults of fields say.
//
//go:embed faults.tsv
var faultText string

// catalogue is what is said in both languages: the whole texts, and those with a
// part that varies in the order of the file.
type catalogue struct {
	whole map[string]string
	parts []pattern
}

type pattern struct{ en, zh []string } // between the parts that vary

var faultCatalogue = sync.OnceValue(func() catalogue { return readCatalogue(faultText) })

func readCatalogue(text string) catalogue {
	c := catalogue{whole: make(map[string]string)}
	for line := range strings.Lines(text) {
		en, zh, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		switch {
		case !ok || strings.HasPrefix(en, "#"):
		case strings.Contains(en, "*"):
			c.parts = append(c.parts, pattern{strings.Split(en, "*"), strings.Split(zh, "*")})
		default:
			c.whole[en] = zh
		}
	}
	return c
}

// chinese finds a text; part words what varies in it. Patterns with fewer than
// beginning characters before the first varying part are left out.
func (c catalogue) chinese(text string, beginning int, part func(string) string) (string, bool) {
	if zh, ok := c.whole[text]; ok {
		return zh, true
	}
	var best []string
	var closest pattern
	least := -1 // the fewest varying characters win: the closest pattern
	for _, p := range c.parts {
		if len(p.en[0]) < beginning {
			continue
		}
		if varying, loose, ok := p.match(text); ok && (least < 0 || loose < least) {
			best, closest, least = varying, p, loose
		}
	}
	if least < 0 {
		return text, false
	}
	var b strings.Builder
	b.WriteString(closest.zh[0])
	for i, varying := range best {
		b.WriteString(part(varying))
		b.WriteString(closest.zh[i+1])
	}
	return b.String(), true
}

// Chinese words a fault in Chinese; false when the catalogue does not know it,
// and then the text is as it was.
func (f FieldFault) Chinese() (FieldFault, bool) {
	zh, ok := faultCatalogue().chinese(f.Message, 0, func(part string) string { return part })
	return FieldFault{f.Field, zh}, ok
}

// match takes the varying parts out of a text.
func (p pattern) match(text string) (varying []string, loose int, ok bool) {
	rest, ok := strings.CutPrefix(text, p.en[0])
	if !ok {
		return nil, 0, false
	}
	for i, next := range p.en[1:] {
		var part string
		if i == len(p.en)-2 {
			if !strings.HasSuffix(rest, next) {
				return nil, 0, false
			}
			part, rest = rest[:len(rest)-len(next)], ""
		} else if part, rest, ok = strings.Cut(rest, next); !ok {
			return nil, 0, false
		}
		loose += len(part)
		varying = append(varying, part)
	}
	return varying, loose, true
}
