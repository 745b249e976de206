package auth

import (
	"fmt"

	"github.com/evcs/evcs/internal/evcs"
)

// WantedUsers filters a list of users; zero fields keep all. Texts are
// contained, whatever the case; Roles are codes of which one must be held.
type WantedUsers struct {
	Username, Identifier, RealName string
	Roles                          []string
	Enabled                        *bool
}

// WantedKeys filters a list of keys; zero fields keep all.
type WantedKeys struct {
	Name    string
	User    evcs.UserID
	Enabled *bool
}

// AccountKey is the key of an account's failed sign-ins.
func AccountKey(u evcs.UserID) string { return fmt.Sprintf("user/%d", u) }
