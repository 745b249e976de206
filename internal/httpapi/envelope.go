package httpapi

import (
	"net/http"
	"strings"

	"golang.org/x/text/language"
)

// words is a text in both languages of the contract.
type words struct{ zh, en string }

func (w words) in(english bool) string {
	if english {
		return w.en
	}
	return w.zh
}

// successText is the message of a success (§1.2).
func successText(op *operation) words {
	kind := op.Said
	if kind == saidByMethod {
		switch op.Method {
		case http.MethodGet, http.MethodHead:
			kind = queried
		case http.MethodPut:
			return words{"更新成功", "Updated"}
		case http.MethodDelete:
			return words{"删除成功", "Deleted"}
		}
	}
	switch kind {
	case queried:
		return words{"查询成功", "OK"}
	case created:
		return words{"创建成功", "Created"}
	case signedIn:
		return words{"登录成功", "Signed in"}
	case saidByMethod, done:
	}
	return words{"操作成功", "Done"}
}

// prefersEnglish reads Accept-Language; Chinese unless English is preferred.
func prefersEnglish(header string) bool {
	if header == "" {
		return false
	}
	tags, weights, err := language.ParseAcceptLanguage(header)
	if err != nil {
		return strings.HasPrefix(strings.ToLower(header), "en")
	}
	for i, tag := range tags {
		base, _ := tag.Base()
		switch {
		case weights[i] == 0:
		case base.String() == "en":
			return true
		case base.String() == "zh":
			return false
		}
	}
	return false
}

func languageTag(english bool) string {
	if english {
		return "en"
	}
	return "zh-CN"
}
