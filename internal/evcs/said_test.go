package evcs

import (
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sayingCalls are the functions that keep a sentence, and which argument it is.
var sayingCalls = map[string]int{
	"Problem": 1, "problem": 1, "broken": 0, "Reason": 0, "Cure": 5, "Expire": 0, "keepOrphan": 2, "history": 2, "orphan": 4, "rejected": 2, "putStop": 5,
}

// sayingFields are the fields that keep a sentence, by the type of their object.
var sayingFields = map[string]string{"Fault": "Message", "Alert": "Message", "trouble": "message", "Answer": "Reason", "ending": "detail", "Reading": "Note"}

// saysErrors are the files whose errors are shown as they are.
var saysErrors = regexp.MustCompile(`^(bill/.*|(alipay|wechatpay)/statement.*|wechatpay/bill|sandboxpay/(statement|fund)|webhook/pump|notify/(http|channel|mail)|outbound/(guard|network))\.go$`)

// saysResults are the functions that return a sentence, by their file.
var saysResults = map[string]string{
	"ocpp16/command.go": "requestStart requestList requestTrigger requestConfig", "cashier/callback.go": "unacceptable", "health/watch.go": "reason",
}

// TestEverySentenceIsInChinese reads the sources: what the platform keeps with
// things for people to read is in the catalogue.
func TestEverySentenceIsInChinese(t *testing.T) {
	t.Parallel()
	found := make(map[string]bool)
	eachSource(t, func(file string, parsed *ast.File) {
		for _, e := range sentences(file, parsed) {
			said := phrase(e)
			if !sentence.MatchString(said) || strings.HasPrefix(said, "read ") || strings.HasPrefix(said, "word ") || strings.HasPrefix(said, "must be") {
				continue // a name, or what fails before anything is said
			}
			found[said] = true
			if _, ok := chineseSentence(said, 0); !ok {
				t.Errorf("%s: %q is not in said.tsv", file, said)
			}
		}
	}, "paygate")
	if len(found) < 110 {
		t.Errorf("only %d sentences were found: %q", len(found), slices.Sorted(maps.Keys(found)))
	}
}

// sentence is what has two words of small letters, or one long one.
var sentence = regexp.MustCompile(`[a-z]{2,} .*[a-z]{2,}|^[a-z]{9,}$`)

// sentences are the expressions of a file that are kept for people.
func sentences(file string, parsed *ast.File) []ast.Expr {
	var list []ast.Expr
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name := nameOf(n.Fun)
			at, ok := sayingCalls[name]
			if saysErrors.MatchString(file) && (name == "New" || name == "Errorf") {
				at, ok = 0, true
			}
			if name == "append" && len(n.Args) == 2 && nameOf(n.Args[0]) == "problems" {
				at, ok = 1, true
			}
			if ok && at < len(n.Args) {
				list = append(list, n.Args[at])
			}
		case *ast.CompositeLit:
			field, keyed := sayingFields[nameOf(n.Type)]
			for _, e := range n.Elts {
				pair, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				key, literal := pair.Key.(*ast.BasicLit)
				if literal && (key.Value == `"reason"` || key.Value == `"error"`) || keyed && nameOf(pair.Key) == field {
					list = append(list, pair.Value)
				}
			}
		case *ast.AssignStmt:
			for i, to := range n.Lhs {
				field, ok := to.(*ast.SelectorExpr)
				if ok && i < len(n.Rhs) && slices.Contains([]string{"Reason", "fault", "FailureMessage", "LastError"}, field.Sel.Name) {
					list = append(list, n.Rhs[i])
				}
			}
		case *ast.FuncDecl:
			if !slices.Contains(strings.Fields(saysResults[file]), n.Name.Name) {
				return true
			}
			ast.Inspect(n.Body, func(n ast.Node) bool {
				if r, ok := n.(*ast.ReturnStmt); ok {
					list = append(list, r.Results...)
				}
				return true
			})
		}
		return true
	})
	return list
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// phrase is the text of an expression, 5 for what varies.
func phrase(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return verb.ReplaceAllString(text, "5")
		}
	case *ast.BinaryExpr:
		return phrase(e.X) + phrase(e.Y)
	case *ast.CallExpr:
		if nameOf(e.Fun) == "Sprintf" {
			return phrase(e.Args[0])
		}
	}
	return "5"
}

func TestSentencesInChinese(t *testing.T) {
	t.Parallel()
	for en, zh := range map[string]string{
		"the totals are missing":                                    "缺少合计",
		`the totals cannot be read: "1,2" is no count`:              `合计无法读取: "1,2" 不是笔数`,
		`订单金额: "x" is no amount of whole fen`:                       `订单金额: "x" 不是精确到分的金额`,
		"CH001: a stop of an unknown session":                       "CH001: 未知会话的停止上报",
		"2; 2026-02-10 BROKEN entry 7; ORDER 5: booked 1, not 2.00": "2; 2026-02-10 BROKEN 分录 7; ORDER 5: 已记 1,应为 2.00",
		"alipay 2026-02-10: 4012 there are two detail tables":       "alipay 2026-02-10: 4012 有两个明细表",
		"something that nobody ever says":                           "something that nobody ever says",
		"":                                                          "",
	} {
		if got := Worded(en, false); got != zh {
			t.Errorf("%s: %s, want %s", en, got, zh)
		}
		if got := Worded(en, true); got != en {
			t.Errorf("%s in English: %s", en, got)
		}
	}
	for own, want := range map[string]string{
		"no answer":                            "设备未应答",
		"HTTP 302: redirects are not followed": "HTTP 302: 不跟随重定向",
		"the gun is not locked":                "the gun is not locked", // a device's words that look like a pattern
		"run out of memory":                    "run out of memory",
	} {
		if got := WordedAmong(own, false); got != want {
			t.Errorf("%s among others' words: %s, want %s", own, got, want)
		}
	}
	facts := map[string]any{"reason": "the store is closed", "problems": []string{"a later day is closed", "x"}, "status": "no answer", "n": 1}
	got := FactsIn(facts, false)
	if got["reason"] != "存储已关闭" || got["problems"].([]string)[0] != "之后的日期已关账" || got["problems"].([]string)[1] != "x" || got["status"] != "no answer" ||
		facts["reason"] != "the store is closed" || FactsIn(facts, true)["reason"] != "the store is closed" {
		t.Errorf("facts: %v of %v", got, facts)
	}
}

// TestForeignTextsAreWordedAtOnce: what a device or a server says at length, made
// of nothing but joints, is looked at once in every place and not in every way to
// cut it.
func TestForeignTextsAreWordedAtOnce(t *testing.T) {
	t.Parallel()
	for _, said := range []string{strings.Repeat("a; b: ", 200), strings.Repeat("a: b; ", 200), strings.Repeat("overdue: x; ", 100) + "y"} {
		got := WordedAmong(said, false)
		if strings.Contains(said, "a") && got != said || !strings.HasSuffix(got, said[len(said)-1:]) {
			t.Errorf("%.20s became %.40s", said, got)
		}
	}
}

// TestCataloguesAreWhole: what varies comes as often in both languages.
func TestCataloguesAreWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]catalogue{"faults": faultCatalogue(), "said": saidCatalogue()} {
		if len(c.whole) < 40 || len(c.parts) < 30 {
			t.Errorf("%s has %d texts and %d patterns", name, len(c.whole), len(c.parts))
		}
		for en, zh := range c.whole {
			if zh == "" || strings.Contains(zh, "*") {
				t.Errorf("%s: %q is %q", name, en, zh)
			}
		}
		for _, p := range c.parts {
			if len(p.en) != len(p.zh) || strings.Join(p.en, "") == "" {
				t.Errorf("%s: %q is %q", name, strings.Join(p.en, "*"), strings.Join(p.zh, "*"))
			}
		}
	}
}
