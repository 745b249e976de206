package httpapi

import (
	"context"
	"net/http"
	"strings"

	"golang.org/x/text/language"

	"github.com/evcs/evcs/internal/evcs"
)

// words is a text in both languages of the contract.
type words struct{ zh, en string }

func (w words) in(english bool) string {
	if english {
		return w.en
	}
	return w.zh
}

// inEnglish reports the language of the answer to a request.
func inEnglish(ctx context.Context) bool {
	x := exchangeOf(ctx)
	return x != nil && x.english
}

// worded is a wording of something in the language of the answer.
func worded[In, Out any](ctx context.Context, word func(In, bool) Out) func(In) Out {
	english := inEnglish(ctx)
	return func(in In) Out { return word(in, english) }
}

// sentence is what the platform kept about something, in a language; nil for
// none.
func sentence(text string, english bool) *string { return textOrNil(evcs.Worded(text, english)) }

// remark is a sentence for a place where people and devices speak too.
func remark(text string, english bool) *string { return textOrNil(evcs.WordedAmong(text, english)) }

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
