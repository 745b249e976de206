package httpapi

import "github.com/danielgtaylor/huma/v2"

// introduction is the document's own description.
const introduction = `EVCS 充电运营平台的 REST 接口。The REST interface of the EVCS charging operations platform.

**Answers.** Every success is HTTP 200 with an envelope of code 200, message, data, timestamp and traceId. Every failure has its real HTTP status and an envelope whose code is a row of the closed error table; decide by code and data, never by message.

**Identity.** ` + "`Authorization: Bearer`" + ` with the token of a sign-in, or with an API key (evcs_...). Behind a trusted proxy that is configured with a secret, X-User-Id and X-Tenant-Id may stand in for it; from anybody else these headers are ignored.

**Language.** 消息文字按 Accept-Language 返回中文(默认)或英文。Texts for people are zh-CN by default, or English when Accept-Language prefers en; Content-Language tells. Codes, names and data never change with it.

**Requests.** JSON in UTF-8. Flat parameters of POST and PUT may also come as query or form fields of the same name, except secrets. Unknown fields and parameters are refused. A PUT changes the fields present; null clears. Read-only fields of an object that was read may be sent back and are ignored.

**Units.** Money is CNY yuan with two decimals, energy kWh with four, prices with four or five, all exact. Times are RFC 3339 in UTC; a time without zone is read in the tenant's time zone.

**Repeats.** Idempotency-Key on POST makes a repeat harmless; version in the body or If-Match guards a write against a stale read.

**Tenants.** A caller sees its own tenant, and with permission its descendants (tenantId, tenantScope). Everything else does not exist for it.

**Limits.** Beyond a rate limit the answer is 429 with Retry-After. Bodies are bounded (1 MiB unless said otherwise).`

func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"bearerAuth": {
			Type: "http", Scheme: "bearer", BearerFormat: "JWT",
			Description: "登录所得令牌 / the token of POST /api/auth/login, valid for two hours unless configured otherwise",
		},
		"apiKey": {
			Type: "http", Scheme: "bearer", BearerFormat: "evcs_ and 43 letters and digits",
			Description: "API 密钥 / an API key of POST /api/auth/api-keys; it can do what its scopes and its owner's permissions both allow",
		},
		"internalToken": {
			Type: "apiKey", In: "header", Name: "X-Internal-Token",
			Description: "内部令牌 / the setting internal.token, from an address in internal.allowCidr",
		},
		"deviceBasic": {
			Type: "http", Scheme: "basic",
			Description: "设备标识与密钥 / charge point id and its secret (OCPP security profiles 1 and 2)",
		},
	}
}
