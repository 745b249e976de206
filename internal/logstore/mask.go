package logstore

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// hidden stands for what may not be read in a log.
const hidden = "***"

// secretWords mark names whose values are never written, wherever they stand in
// the name.
func secretWords() []string {
	return []string{
		"password", "passwd", "secret", "token", "authorization", "signature", "credential", "cookie", "private", "openid", "open_id",
		"payer", "buyer",
	}
}

// secretName reports whether a value of this name is a secret or a payer.
func secretName(name string) bool {
	name = strings.ToLower(name)
	if name == "key" || name == "sign" || strings.HasSuffix(name, "_key") || strings.HasSuffix(name, "apikey") {
		return true
	}
	for _, word := range secretWords() {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// pattern is what is masked inside texts: find is looked for only where one of
// the hints, in lower case, stands in the text.
type pattern struct {
	hints []string
	find  *regexp.Regexp
	put   string
}

// named are the names whose values are masked in running text.
const named = `password|passwd|secret|token|authorization|signature|sign|api_?key|private_?key|open_?id|payer_?id|buyer_?(?:user_?)?id`

var patterns = sync.OnceValue(func() []pattern {
	return []pattern{
		{[]string{"eyj"}, regexp.MustCompile(`eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`), hidden},
		{[]string{"evcs_"}, regexp.MustCompile(`\bevcs_[A-Za-z0-9_-]{6,}`), hidden},
		{[]string{"bearer", "basic"}, regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`), "$1 " + hidden},
		{
			[]string{"passw", "secret", "token", "authorization", "sign", "key", "openid", "open_id", "payer", "buyer"},
			regexp.MustCompile(`(?i)((?:` + named + `)\\?["']?\s*[:=]\s*\\?["']?)[^\s"'\\&,;}]+`), "${1}" + hidden,
		},
		{[]string{"://"}, regexp.MustCompile(`(://[^\s/:@]*:)[^\s/@]+@`), "${1}" + hidden + "@"},
		{[]string{"-----begin"}, regexp.MustCompile(`-----BEGIN [A-Z ]+-----[^-]*(?:-----END [A-Z ]+-----)?`), hidden},
		{[]string{"+"}, regexp.MustCompile(`(\+[0-9]{2,4})[0-9]{4,8}([0-9]{3})\b`), "${1}****${2}"},
	}
})

// phone is a mobile number of the mainland that is not part of a longer word.
var phone = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(^|[^0-9A-Za-z.])((?:\+?86)?1[3-9][0-9])[0-9]{4}([0-9]{4})\b`)
})

// mask hides secrets, tokens, signatures, phone numbers and payers in a text.
func mask(text string) string {
	const shortest = 6
	if len(text) < shortest {
		return text
	}
	lower := strings.ToLower(text)
	for _, p := range patterns() {
		if slices.ContainsFunc(p.hints, func(hint string) bool { return strings.Contains(lower, hint) }) {
			text = p.find.ReplaceAllString(text, p.put)
		}
	}
	if longNumber(text) {
		text = phone().ReplaceAllString(text, "${1}${2}****${3}")
	}
	return text
}

// longNumber reports whether there are as many digits in a row as in a phone
// number.
func longNumber(text string) bool {
	const digits = 11
	run := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			run = 0
		} else if run++; run == digits {
			return true
		}
	}
	return false
}
