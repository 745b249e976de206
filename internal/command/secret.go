package command

import (
	"encoding/json"

	"github.com/evcs/evcs/internal/evcs"
)

// Shown is the parameters as people may see them: the value of a setting whose
// name says that it is a secret (OCPP AuthorizationKey and the like) is hidden,
// and so is the password in an address.
func (c *Command) Shown() json.RawMessage {
	var p map[string]any
	if len(c.Params) == 0 || json.Unmarshal(c.Params, &p) != nil {
		return c.Params
	}
	changed := false
	key, _ := p["key"].(string)
	if _, set := p["value"]; set && evcs.NamesSecret(key) {
		p["value"], changed = evcs.Hidden, true
	}
	if address, _ := p["url"].(string); evcs.HidePassword(address) != address {
		p["url"], changed = evcs.HidePassword(address), true
	}
	if !changed {
		return c.Params
	}
	shown, err := json.Marshal(p)
	if err != nil {
		return json.RawMessage(`{}`) // a map that was just read: it cannot happen
	}
	return shown
}

// forget hides the secret for good once the device no longer needs to be told.
func (c *Command) forget() {
	if !c.State.Open() {
		c.Params = c.Shown()
	}
}
