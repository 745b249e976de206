package evcs

import (
	_ "embed"
	"maps"
	"strings"
	"sync"
)

// saidText is the catalogue of the sentences that the platform keeps with
// things: why a command failed, what is wrong with a statement, what an alert
// is about.
//
//go:embed said.tsv
var saidText string

var saidCatalogue = sync.OnceValue(func() catalogue { return readCatalogue(saidText) })

// Worded is a sentence of the platform in the language asked for. They are kept
// in English and worded when they are read; what is in no catalogue stays as it
// is.
func Worded(text string, english bool) string { return wording(text, english, 0) }

// WordedAmong is Worded where devices, channels and people speak too: a sentence
// is taken for the platform's only when it begins like one.
func WordedAmong(text string, english bool) string { return wording(text, english, ownBeginning) }

// ownBeginning is how many characters of the catalogue's own a sentence begins
// with, to be told from what others say.
const ownBeginning = 8

func wording(text string, english bool, beginning int) string {
	if english || text == "" {
		return text
	}
	zh, _ := chineseSentence(text, beginning)
	return zh
}

// chineseSentence words a sentence and those inside it; false when nothing of it
// is known. Sentences are put together as lists, and with what they are about.
// Every piece is looked up once: others speak here too, and at length.
func chineseSentence(text string, beginning int) (string, bool) {
	return cutSentence(text, beginning, "; ", ": ")
}

// cutSentence looks a text up whole, else cuts it at the first joint into pieces
// that have none of it, each of which is cut at the further ones.
func cutSentence(text string, beginning int, joints ...string) (string, bool) {
	part := func(inner string) string {
		zh, _ := chineseSentence(inner, beginning) // shorter than text: a pattern has words of its own
		return zh
	}
	if zh, ok := saidCatalogue().chinese(text, beginning, part); ok {
		return zh, true
	}
	if len(joints) == 0 {
		return text, false
	}
	left, right, ok := strings.Cut(text, joints[0])
	if !ok {
		return cutSentence(text, beginning, joints[1:]...)
	}
	l, knownLeft := cutSentence(left, beginning, joints[1:]...)
	r, knownRight := cutSentence(right, beginning, joints...)
	return l + joints[0] + r, knownLeft || knownRight
}

// FactsIn is the facts of a refusal with the sentences among them in the
// language asked for: the faults of fields, problems and reasons.
func FactsIn(data map[string]any, english bool) map[string]any {
	if english {
		return data
	}
	worded := maps.Clone(data)
	for name, value := range worded {
		switch v := value.(type) {
		case []FieldFault:
			list := make([]FieldFault, len(v))
			for i, f := range v {
				list[i], _ = f.Chinese()
			}
			worded[name] = list
		case []string:
			if name != "problems" {
				continue
			}
			list := make([]string, len(v))
			for i, text := range v {
				list[i] = Worded(text, false)
			}
			worded[name] = list
		case string:
			if name == "reason" || name == "error" {
				worded[name] = WordedAmong(v, false)
			}
		}
	}
	return worded
}
