package command

import (
	"encoding/json"
	"strings"
)

// hidden stands for a secret that was told to a device.
const hidden = "***"

// Shown is the parameters as people may see them: the value of a setting whose
// name says that it is a secret (OCPP AuthorizationKey and the like) is hidden.
func (c *Command) Shown() json.RawMessage {
	var p map[string]any
	if len(c.Params) == 0 || json.Unmarshal(c.Params, &p) != nil {
		return c.Params
	}
	key, _ := p["key"].(string)
	if _, set := p["value"]; !set || !secret(key) {
		return c.Params
	}
	p["value"] = hidden
	shown, err := json.Marshal(p)
	if err != nil {
		return json.RawMessage(`{}`) // a map that was just read: it cannot happen
	}
	return shown
}

func secret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"key", "password", "secret", "token", "pin"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// forget hides the secret for good once the device no longer needs to be told.
func (c *Command) forget() {
	if !c.State.Open() {
		c.Params = c.Shown()
	}
}
