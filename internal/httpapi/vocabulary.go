package httpapi

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evcs/evcs/internal/evcs"
)

// vocabularyText says, for names of fields and parameters, what they mean and
// gives an example. A line is: name, or group.name or Schema.name where it is
// special; a tab; the example as JSON, "-" for none; a tab; the words.
//
//go:embed vocabulary.tsv
var vocabularyText string

// word is what is known of a name.
type word struct {
	example     any // nil: none
	description string
}

type vocabulary map[string]word

func readVocabulary() (vocabulary, error) {
	v := make(vocabulary)
	for line := range strings.Lines(vocabularyText) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, "\t", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("vocabulary: %q has not three parts", line)
		}
		w := word{description: parts[2]}
		if parts[1] != "-" {
			if err := json.Unmarshal([]byte(parts[1]), &w.example); err != nil {
				return nil, fmt.Errorf("vocabulary: the example of %s: %w", parts[0], err)
			}
		}
		v[parts[0]] = w
	}
	return v, nil
}

// of looks a name up, the special meaning within where first.
func (v vocabulary) of(where, name string) word {
	if w, ok := v[where+"."+name]; ok {
		return w
	}
	return v[name]
}

// describeFields says what every field is that its type does not describe.
func (w *writer) describeFields() {
	schemas := child(child(w.root, "components"), "schemas")
	for schema, s := range schemas {
		for name, p := range child(s, "properties") {
			field, _ := p.(node)
			if field == nil || field["description"] != nil || refOf(field) != "" {
				continue
			}
			if text := w.words.of(schema, name).description; text != "" {
				field["description"] = text
			}
		}
	}
}

// failureExample is the name of a shared example of a refusal.
func (w *writer) failureExample(code evcs.Code) string {
	name := strconv.Itoa(int(code))
	w.examples[name] = node{
		"summary": code.Name(),
		"value": node{
			"code": float64(code), "message": code.Text(false), "data": w.words.of("data", name).example,
			"timestamp": "2026-02-10T10:35:00Z", "path": "/api/charger/10001", "traceId": "9f2c6a10b7d84e51",
		},
	}
	return name
}

// answerExample gives a success its named example.
func (w *writer) answerExample(ok node, d *declared, _ string) {
	media, _ := child(ok, "content")["application/json"].(node)
	all, _ := child(media, "schema")["allOf"].([]any)
	if len(all) != 2 {
		return
	}
	data := child(child(all[1], "properties"), "data")
	said := successText(&d.operation)
	name := exampleName(data) + "." + strings.ReplaceAll(said.en, " ", "")
	w.examples[name] = node{"summary": said.en, "value": node{
		"code": 200.0, "message": said.zh, "data": w.exampleOf(data, "", "data", 0),
		"timestamp": "2026-02-10T10:35:00Z", "traceId": "9f2c6a10b7d84e51",
	}}
	media["examples"] = node{"success": reference("examples", name)}
}

// requestExample gives a body its named example.
func (w *writer) requestExample(op node) {
	body, ok := op["requestBody"].(node)
	if !ok {
		return
	}
	for kind, m := range child(body, "content") {
		if kind != "application/json" {
			continue // a file has no text to show
		}
		media, _ := m.(node)
		schema := child(media, "schema")
		name := exampleName(schema) + ".request"
		w.examples[name] = node{"summary": textOf(op, "summary"), "value": w.exampleOf(schema, "", "body", 0)}
		if had, ok := w.examples[exampleName(schema)]; ok {
			w.examples[name] = had
		}
		media["examples"] = node{"request": reference("examples", name)}
	}
}

// exampleName names the example of a schema.
func exampleName(schema node) string {
	switch {
	case refOf(schema) != "":
		return strings.TrimPrefix(refOf(schema), schemaPrefix)
	case typeOf(schema) == "array":
		items, _ := schema["items"].(node)
		return exampleName(items) + "List"
	case typeOf(schema) == "null" || typeOf(schema) == "":
		return "Nothing"
	case schema["additionalProperties"] != nil:
		return "Map"
	}
	kind := typeOf(schema)
	return strings.ToUpper(kind[:1]) + kind[1:]
}

// typeOf is a schema's type besides null.
func typeOf(schema node) string {
	switch t := schema["type"].(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if one != "null" {
				text, _ := one.(string)
				return text
			}
		}
	}
	return ""
}

// exampleOf makes a value that the schema allows, as lifelike as the
// vocabulary can make it.
func (w *writer) exampleOf(schema node, within, name string, depth int) any {
	if ref := refOf(schema); ref != "" {
		within = strings.TrimPrefix(ref, schemaPrefix)
		target, _ := child(child(w.root, "components"), "schemas")[within].(node)
		return w.exampleOf(target, within, name, depth)
	}
	for _, many := range []string{"anyOf", "oneOf"} {
		if either, ok := schema[many].([]any); ok && len(either) > 0 {
			if depth > 4 {
				return nil
			}
			first, _ := either[0].(node)
			return w.exampleOf(first, within, name, depth)
		}
	}
	if word := w.words.of(within, name); word.example != nil && fits(schema, word.example) {
		return word.example
	}
	if enum, ok := schema["enum"].([]any); ok && len(enum) > 0 {
		return enum[0]
	}
	if types, ok := schema["type"].([]any); ok && slices.Contains(types, any("null")) && depth > 0 {
		return nil // a name without an example: nothing was set
	}
	switch typeOf(schema) {
	case "object":
		return w.exampleObject(schema, within, depth)
	case "array":
		items, _ := schema["items"].(node)
		if depth > 5 {
			return []any{}
		}
		return []any{w.exampleOf(items, within, strings.TrimSuffix(name, "s"), depth+1)}
	case "integer", "number":
		if least, ok := schema["minimum"].(float64); ok && least > 1 {
			return least
		}
		if most, ok := schema["maximum"].(float64); ok && most < 1 {
			return most
		}
		return 1.0
	case "boolean":
		return false
	case "string":
		return exampleText(schema)
	}
	return nil
}

func (w *writer) exampleObject(schema node, within string, depth int) any {
	object := make(node)
	props, _ := schema["properties"].(node)
	for _, name := range slices.Sorted(maps.Keys(props)) {
		prop, _ := props[name].(node)
		if prop["readOnly"] == true || name == "idempotentKey" {
			continue // nothing to copy
		}
		if depth > 3 && prop["type"] == "array" {
			object[name] = []any{}
			continue
		}
		object[name] = w.exampleOf(prop, within, name, depth+1)
	}
	if more, ok := schema["additionalProperties"].(node); ok && len(props) == 0 {
		object["key"] = w.exampleOf(more, within, "value", depth+1)
	}
	return object
}

func exampleText(schema node) any {
	switch schema["format"] {
	case "date-time":
		return "2026-02-10T10:30:00Z"
	case "date":
		return "2026-02-10"
	case "uri":
		return "https://example.com/evcs"
	}
	text := "text"
	if least, ok := schema["minLength"].(float64); ok {
		for len(text) < int(least) {
			text += " text"
		}
	}
	if most, ok := schema["maxLength"].(float64); ok && len(text) > int(most) {
		text = text[:int(most)]
	}
	return text
}

// fits reports whether an example is of the kind that a schema wants.
func fits(schema node, example any) bool {
	if enum, ok := schema["enum"].([]any); ok {
		return slices.Contains(enum, example)
	}
	switch v := example.(type) {
	case string:
		most, bounded := schema["maxLength"].(float64)
		pattern, _ := schema["pattern"].(string)
		ok, err := regexp.MatchString(pattern, v)
		return typeOf(schema) == "string" && ok && err == nil && (!bounded || utf8.RuneCountInString(v) <= int(most))
	case float64:
		least, low := schema["minimum"].(float64)
		most, high := schema["maximum"].(float64)
		kind := typeOf(schema)
		return (kind == "number" || kind == "integer" && v == float64(int64(v))) && (!low || v >= least) && (!high || v <= most)
	case bool:
		return typeOf(schema) == "boolean"
	case []any:
		return typeOf(schema) == "array"
	case node:
		return typeOf(schema) == "object" || typeOf(schema) == ""
	}
	return false
}
