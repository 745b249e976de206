package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shareParameters makes components of the parameters that several operations
// have, and adds the headers that every operation reads.
func (w *writer) shareParameters() {
	shared := make(node)
	variants := make(map[string]map[string]int) // by name: text of a parameter -> how often
	eachOperation(w.root, func(_, _ string, op node) {
		list, _ := op["parameters"].([]any)
		for _, p := range list {
			param, _ := p.(node)
			w.finishParameter(param, firstTag(op))
			key := parameterKey(param)
			if variants[key] == nil {
				variants[key] = make(map[string]int)
			}
			variants[key][textOfJSON(param)]++
		}
	})
	usual := make(map[string]string)
	for key, texts := range variants {
		best := slices.SortedFunc(maps.Keys(texts), func(a, b string) int {
			if texts[a] != texts[b] {
				return texts[b] - texts[a]
			}
			return strings.Compare(a, b)
		})[0]
		usual[key] = best
	}
	names := make(map[string]string) // text of a parameter -> component
	eachOperation(w.root, func(_, _ string, op node) {
		list, _ := op["parameters"].([]any)
		for i, p := range list {
			param, _ := p.(node)
			key, text := parameterKey(param), textOfJSON(param)
			if variants[key][text] < 2 {
				continue
			}
			name := key
			if usual[key] != text {
				name = firstTag(op) + "." + key
			}
			for n := 2; shared[name] != nil && names[text] != name; n++ {
				if known, ok := names[text]; ok {
					name = known
					break
				}
				name = firstTag(op) + "." + key + "." + strconv.Itoa(n)
			}
			shared[name], names[text] = param, name
			list[i] = reference("parameters", name)
		}
		w.headerParameters(op, list)
	})
	for name, p := range headerParameters() {
		shared[name] = p
	}
	child(w.root, "components")["parameters"] = shared
}

// headerParameters adds what every operation takes.
func (w *writer) headerParameters(op node, list []any) {
	d := w.byID[textOf(op, "operationId")]
	list = append(list, reference("parameters", "Accept-Language"))
	if d != nil && d.Access != deviceOnly {
		list = append(list, reference("parameters", "X-Request-Id"))
		if d.replayable() {
			list = append(list, reference("parameters", "Idempotency-Key"))
		}
		if d.body.field("version") != nil {
			list = append(list, reference("parameters", "If-Match"))
		}
	}
	op["parameters"] = list
}

func headerParameters() node {
	header := func(name, pattern, description string, most float64, example string) node {
		schema := node{"type": "string", "maxLength": most}
		if pattern != "" {
			schema["pattern"] = pattern
		}
		return node{"name": name, "in": "header", "description": description, "schema": schema, "example": example}
	}
	return node{
		"Accept-Language": header("Accept-Language", "", "zh-CN (default) or en, with quality values; it changes texts for people only", 200, "zh-CN"),
		"X-Request-Id":    header("X-Request-Id", "", "Becomes traceId when it is at most 64 of A-Z a-z 0-9 . _ -; X-Trace-Id is the same", 1000, "9f2c6a10b7d84e51"),
		"Idempotency-Key": header("Idempotency-Key", "^[A-Za-z0-9_-]{1,64}$", "Makes repeats harmless: the same key and request get the stored answer; another request under the key is refused with 9410", 64, "pay-318-1"),
		"If-Match":        header("If-Match", "", `Expected version of the object, quoted, like "3"; another one is refused with 9409`, 24, `"3"`),
	}
}

// finishParameter completes a parameter's words, default and example.
func (w *writer) finishParameter(param node, group string) {
	name, schema := textOf(param, "name"), child(param, "schema")
	known := w.words.of(group, name)
	if textOf(param, "description") == "" && known.description != "" {
		param["description"] = known.description
	}
	delete(schema, "description")
	if param["explode"] == false && typeOf(schema) != "array" {
		delete(param, "explode")
	}
	if m := defaultWords.FindStringSubmatch(textOf(param, "description")); m != nil && schema["default"] == nil && typeOf(schema) == "integer" {
		if n, err := strconv.ParseFloat(m[1], 64); err == nil {
			schema["default"] = n
		}
	}
	target := schema
	if ref := refOf(schema); ref != "" {
		target, _ = child(child(w.root, "components"), "schemas")[strings.TrimPrefix(ref, schemaPrefix)].(node)
	}
	if known.example != nil && fits(target, known.example) && param["example"] == nil {
		param["example"] = known.example
	}
}

// defaultWords finds the default in words like "Default 10".
var defaultWords = regexp.MustCompile(`(?:^|; |\. )[Dd]efault (\d+)\b`)

func parameterKey(param node) string {
	if in := textOf(param, "in"); in != "query" {
		return textOf(param, "name") + "." + in
	}
	return textOf(param, "name")
}

func firstTag(op node) string {
	tags, _ := op["tags"].([]any)
	if len(tags) == 0 {
		return ""
	}
	tag, _ := tags[0].(string)
	return tag
}

// textOfJSON is a value as comparable text.
func textOfJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// tagsOf are the tags that operations have, with their words.
func tagsOf(root node) []any {
	seen := make(map[string]bool)
	eachOperation(root, func(_, _ string, op node) { seen[firstTag(op)] = true })
	words := tagWords()
	var tags []any
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		w := words[name]
		tags = append(tags, node{"name": name, "description": w.zh + " / " + w.en})
	}
	return tags
}

// tagWords says what the operations of a tag are about.
func tagWords() map[string]words {
	return map[string]words{
		"audit":          {"审计日志:谁在何时做了什么,只增不改,可校验", "Audit: who did what and when; append-only and verifiable"},
		"auth":           {"登录、令牌与 API 密钥", "Sign-in, tokens and API keys"},
		"billing":        {"计费方案、时段与报价", "Billing plans, their segments and quotes"},
		"charger":        {"充电桩与充电枪:档案、状态与控制", "Chargers and connectors: records, status and control"},
		"cloudcharge":    {"设备端 HTTP 协议(仅设备监听端口)", "Signed HTTP protocol of chargers (device listener only)"},
		"command":        {"下发给设备的指令及其结果", "Commands to chargers and what became of them"},
		"dashboard":      {"运营看板与统计", "Dashboards and statistics"},
		"debug":          {"协议调试(仅模拟桩,默认关闭)", "Protocol debugging (simulated chargers only, off by default)"},
		"events":         {"事件流与事件列表", "Event stream and event list"},
		"exports":        {"数据导出", "Exports"},
		"health":         {"存活与就绪", "Liveness and readiness"},
		"id-tag":         {"充电卡", "Id tags: cards and accounts known to chargers"},
		"internal":       {"内部接口(内部令牌)", "Internal operations (internal token)"},
		"ledger":         {"复式账", "Double-entry journal"},
		"merchant":       {"支付商户配置", "Merchant accounts of payment channels"},
		"monitoring":     {"监控、告警与日志", "Monitoring, alerts and logs"},
		"ocpp":           {"OCPP-J WebSocket 接入(仅设备监听端口)", "OCPP-J over WebSocket (device listener only)"},
		"order":          {"充电订单:启动、停止、结算", "Charging orders: start, stop, settle"},
		"payment":        {"支付、退款与渠道回调", "Payments, refunds and the channels' callbacks"},
		"protocol":       {"设备连接、拒绝记录与报文", "Connections, refusals and messages of chargers"},
		"quota":          {"租户配额", "Tenant quotas"},
		"reconciliation": {"对账、差异与关账", "Reconciliation, differences and the close"},
		"role":           {"角色与权限", "Roles and permissions"},
		"session":        {"充电会话与电表曲线", "Charging sessions and meter curves"},
		"station":        {"充电站", "Charging stations"},
		"tenant":         {"租户树与设置", "The tree of tenants and their settings"},
		"user":           {"用户", "Users"},
		"webhooks":       {"Webhook 推送", "Webhooks"},
	}
}
