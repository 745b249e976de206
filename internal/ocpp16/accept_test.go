package ocpp16

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// part is what the schemas of OCPP 1.6 say of a value.
type part struct {
	Ref         string `json:"$ref"`
	Definitions map[string]part
	Type        string
	Properties  map[string]part
	Required    []string
	Items       *part
	Enum        []string
	MaxLength   int
	Format      string
}

// sample makes a value that the schema allows: with every field or with those
// that must be there, the n-th word of every enumeration.
func (p part) sample(root part, whole bool, n int) any {
	if name, ok := strings.CutPrefix(p.Ref, "#/definitions/"); ok {
		p = root.Definitions[name]
	}
	switch {
	case len(p.Enum) > 0:
		return p.Enum[n%len(p.Enum)]
	case p.Format == "date-time":
		return []string{"2026-02-10T10:00:00Z", "2026-02-10T10:00:00.123Z", "2026-02-10T18:00:00+08:00"}[n%3]
	}
	switch p.Type {
	case "object":
		object := map[string]any{}
		for name, of := range p.Properties {
			if whole || slices.Contains(p.Required, name) {
				object[name] = of.sample(root, whole, n)
			}
		}
		return object
	case "array":
		return []any{p.Items.sample(root, whole, n), p.Items.sample(root, whole, n+1)}
	case "integer", "number":
		return 1 + n
	case "boolean":
		return n%2 == 0
	}
	if p.MaxLength > 0 && whole {
		return strings.Repeat("9", p.MaxLength)
	}
	return fmt.Sprint(n)
}

// words is how many variants show every word of every enumeration.
func (p part) words(root part) int {
	if name, ok := strings.CutPrefix(p.Ref, "#/definitions/"); ok {
		p = root.Definitions[name]
	}
	most := max(len(p.Enum), 1)
	for _, of := range p.Properties {
		most = max(most, of.words(root))
	}
	if p.Items != nil {
		most = max(most, p.Items.words(root))
	}
	return most
}

// TestEveryValidMessageIsAnswered makes messages from the schemas of the Open
// Charge Alliance, smallest and largest, with every word of every enumeration.
// Each must be answered with a result that the schema of the answer allows.
func TestEveryValidMessageIsAnswered(t *testing.T) {
	t.Parallel()
	for _, action := range []string{
		"Authorize", "BootNotification", "DataTransfer", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "LogStatusNotification",
		"MeterValues", "SecurityEventNotification", "SignedFirmwareStatusNotification", "StartTransaction", "StatusNotification", "StopTransaction",
	} {
		path := schemaPath(t, action)
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var root part
		if err := json.Unmarshal(text, &root); err != nil {
			t.Fatal(err)
		}
		s := newSession(&platform{})
		for n := range root.words(root) {
			for _, whole := range []bool{false, true} {
				payload, err := json.Marshal(root.sample(root, whole, n))
				if err != nil {
					t.Fatal(err)
				}
				checkSchema(t, action, payload) // that it is valid
				if got := ask(t, s, action, string(payload)); !strings.HasPrefix(got, "{") {
					t.Errorf("%s %s is answered with %s", action, payload, got)
				}
			}
		}
	}
}
