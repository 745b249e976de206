package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rendered is one document in its four forms.
type rendered struct {
	json, yaml     []byte
	json30, yaml30 []byte // OpenAPI 3.0.3
}

func render(doc node) (*rendered, error) {
	var r rendered
	var err error
	if r.json, err = json.Marshal(doc); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	if r.yaml, err = yamlOf(doc); err != nil {
		return nil, err
	}
	older, err := copyOf(doc)
	if err != nil {
		return nil, err
	}
	older = downgrade(older).(node) //nolint:forcetypeassert,errcheck // an object stays one
	older["openapi"] = "3.0.3"
	if r.json30, err = json.Marshal(older); err != nil {
		return nil, fmt.Errorf("write the document for 3.0: %w", err)
	}
	r.yaml30, err = yamlOf(older)
	return &r, err
}

func copyOf(doc node) (node, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("copy the document: %w", err)
	}
	var other node
	if err := json.Unmarshal(text, &other); err != nil {
		return nil, fmt.Errorf("copy the document: %w", err)
	}
	return other, nil
}

// downgrade words in OpenAPI 3.0 what 3.1 says otherwise: null as a type, words
// beside a reference, exclusive bounds, constants and lists of examples.
func downgrade(v any) any { return downgradeAt(v, "") }

// downgradeAt is downgrade of what stands under a name: in properties the names
// are those of fields.
func downgradeAt(v any, at string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = downgradeAt(v[i], "")
		}
	case node:
		fields := at == "properties"
		for name := range v {
			isExample := name == "example" || name == "default" || name == "enum" || name == "value" && v["summary"] != nil
			switch {
			case fields:
				v[name] = downgradeAt(v[name], "")
			case !isExample:
				v[name] = downgradeAt(v[name], name)
			}
		}
		if !fields {
			downgradeSchema(v)
		}
	}
	return v
}

func downgradeSchema(v node) {
	if ref := refOf(v); ref != "" && len(v) > 1 {
		delete(v, "$ref")
		v["allOf"] = []any{node{"$ref": ref}}
	}
	delete(v, "contentMediaType")
	switch t := v["type"].(type) {
	case []any:
		v["type"], v["nullable"] = typeOf(v), true
		if len(t) > 2 {
			delete(v, "type") // anything, null too
			delete(v, "nullable")
		}
	case string:
		if t == "null" {
			v["type"], v["nullable"], v["enum"] = "object", true, []any{nil}
		}
	}
	for exclusive, inclusive := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
		if bound, ok := v[exclusive].(float64); ok {
			v[inclusive], v[exclusive] = bound, true
		}
	}
	if only, ok := v["const"]; ok {
		delete(v, "const")
		v["enum"] = []any{only}
	}
	if list, ok := v["examples"].([]any); ok && len(list) > 0 {
		delete(v, "examples")
		v["example"] = list[0]
	}
}

// yamlOf writes a document for readers: its parts in the order of reading, the
// values of examples on one line.
func yamlOf(doc node) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	n, err := yamlNode(doc, "")
	if err != nil {
		return nil, err
	}
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return out.Bytes(), enc.Close()
}

// readingOrder is what comes first in an object; the rest is sorted.
const readingOrder = " openapi info servers tags security paths components operationId summary description name in required get post put delete type format "

func yamlNode(v any, at string) (*yaml.Node, error) {
	switch v := v.(type) {
	case node:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, name := range slices.SortedFunc(maps.Keys(v), inReadingOrder) {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name}
			inner, err := yamlNode(v[name], name)
			if err != nil {
				return nil, err
			}
			if name == "value" && v["summary"] != nil || name == "security" || name == "tags" && at != "" {
				inner.Style = yaml.FlowStyle
			}
			n.Content = append(n.Content, key, inner)
		}
		if v["$ref"] != nil && len(v) == 1 {
			n.Style = yaml.FlowStyle
		}
		return n, nil
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if at == "enum" || at == "required" || at == "type" {
			n.Style = yaml.FlowStyle
		}
		for _, one := range v {
			inner, err := yamlNode(one, "")
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, inner)
		}
		return n, nil
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: v}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	case float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(v, 'f', -1, 64)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	}
	n := new(yaml.Node)
	return n, n.Encode(v)
}

func inReadingOrder(a, b string) int {
	x, y := strings.Index(readingOrder, " "+a+" "), strings.Index(readingOrder, " "+b+" ")
	switch {
	case x >= 0 && y >= 0:
		return x - y
	case x >= 0:
		return -1
	case y >= 0:
		return 1
	}
	return strings.Compare(a, b)
}
