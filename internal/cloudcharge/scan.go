package cloudcharge

import (
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// field is one element of an object, with the exact bytes of its value.
type field struct {
	name string
	raw  []byte
}

var (
	errNotObject = errors.New("is not a JSON object in UTF-8")
	errTwice     = errors.New("has a key twice")
	errDeep      = errors.New("is nested too deeply")
)

// maxDepth bounds how deep values may nest; the contract's reach four.
const maxDepth = 16

// scanObject splits a JSON object into its fields, in their order. It refuses
// what encoding/json refuses, and keys given twice at any depth.
func scanObject(text []byte) ([]field, error) {
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errNotObject
	}
	s := splitter{text: text}
	s.space()
	if s.text[s.at] != '{' {
		return nil, errNotObject
	}
	return s.object(0)
}

// splitter walks a text that is known to be valid JSON.
type splitter struct {
	text []byte
	at   int
}

func (s *splitter) space() {
	for s.at < len(s.text) && (s.text[s.at] <= ' ') {
		s.at++
	}
}

// object reads the object at hand and the values in it.
func (s *splitter) object(depth int) ([]field, error) {
	var fields []field
	seen := make(map[string]struct{})
	s.at++
	for s.space(); s.text[s.at] != '}'; s.space() {
		if s.text[s.at] == ',' {
			s.at++
			s.space()
		}
		name := decodeText(s.string())
		if _, twice := seen[name]; twice {
			return nil, errTwice
		}
		seen[name] = struct{}{}
		s.space()
		s.at++ // the colon
		s.space()
		start := s.at
		if err := s.value(depth); err != nil {
			return nil, err
		}
		fields = append(fields, field{name: name, raw: s.text[start:s.at]})
	}
	s.at++
	return fields, nil
}

// value reads any value and looks for keys given twice in it.
func (s *splitter) value(depth int) error {
	if depth >= maxDepth {
		return errDeep
	}
	switch s.text[s.at] {
	case '"':
		s.string()
	case '{':
		_, err := s.object(depth + 1)
		return err
	case '[':
		s.at++
		for s.space(); s.text[s.at] != ']'; s.space() {
			if s.text[s.at] == ',' {
				s.at++
				s.space()
			}
			if err := s.value(depth + 1); err != nil {
				return err
			}
		}
		s.at++
	default:
		for s.at < len(s.text) && !ends(s.text[s.at]) {
			s.at++
		}
	}
	return nil
}

func ends(c byte) bool { return c <= ' ' || c == ',' || c == '}' || c == ']' }

// string reads a string and returns it with its quotes.
func (s *splitter) string() []byte {
	start := s.at
	for s.at++; s.text[s.at] != '"'; s.at++ {
		if s.text[s.at] == '\\' {
			s.at++
		}
	}
	s.at++
	return s.text[start:s.at]
}

// decodeText reads a JSON string that is known to be one.
func decodeText(quoted []byte) string {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return ""
	}
	return text
}
