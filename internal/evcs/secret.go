package evcs

import (
	"net/url"
	"strings"
)

// Hidden stands for a secret where people look.
const Hidden = "***"

// NamesSecret reports whether the name of a device setting says that its value
// is a secret: OCPP's AuthorizationKey and what vendors have like it.
func NamesSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "passwd", "passphrase", "secret", "token", "credential", "privatekey", "apikey", "authorizationkey"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return strings.HasSuffix(name, "key") || strings.HasSuffix(name, "pin") || strings.HasSuffix(name, "psk")
}

// HidePassword is an address without the password that it may hold.
func HidePassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address
	}
	return u.Redacted()
}
