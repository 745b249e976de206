package cli

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// errChain says that rows of the audit record were changed or removed.
var errChain = errors.New("the hash chain of the audit record is broken")

func newRoleGroup(e *env) *cobra.Command {
	flags := func(create bool) []bodyFlag {
		list := []bodyFlag{
			{"name", "roleName", "name", create},
			{"permissions", "permissions", "permission codes, comma separated", create},
			{"remark", "remark", "remark", false},
		}
		if create {
			list = append(list, bodyFlag{"code", "roleCode", "code in capitals, unique in the tenant", true})
		}
		return list
	}
	return group(
		"role", "Roles and permissions",
		newList(e, listSpec[api.Role]{
			short: "List roles",
			columns: []column{
				{"roleId", "ID", "编号", nil},
				{"roleCode", "CODE", "编码", nil},
				{"roleName", "NAME", "名称", nil},
				{"builtIn", "BUILT IN", "内置", yesNo},
				{"userCount", "USERS", "用户数", nil},
				{"permissions", "PERMISSIONS", "权限", nil},
			},
			filters: []filter{{"name", "roleName", "name contains"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Role], error) {
				return c.Roles.List
			},
		}),
		newShow(e, "<role-id>", "Show a role", func(c *client.Client) func(context.Context, int64) (api.Role, error) { return c.Roles.Get }),
		newCreate(e, "Create a role", flags(true), func(c *client.Client) func(context.Context, api.CreateRole) (api.Role, error) {
			return c.Roles.Create
		}),
		newUpdate(e, "<role-id>", "Change a role", flags(false), func(c *client.Client) func(context.Context, int64, api.UpdateRole) (api.Role, error) {
			return c.Roles.Update
		}),
		newDelete(e, "<role-id>", "Delete a role nobody has", func(c *client.Client) func(context.Context, int64) error { return c.Roles.Delete }),
		newRead(e, readSpec[api.Permission]{
			use: "permissions", short: "List every permission there is",
			columns: []column{{"code", "CODE", "编码", nil}, {"module", "MODULE", "模块", nil}, {"name", "NAME", "名称", nil}},
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.Permission, error) {
				return func(ctx context.Context, _ client.Query) ([]api.Permission, error) { return c.Roles.Permissions(ctx) }
			},
		}),
	)
}

func newKeyGroup(e *env) *cobra.Command {
	return group(
		"key", "API keys of machines",
		newList(e, listSpec[api.APIKey]{
			short: "List API keys",
			columns: []column{
				{"keyId", "ID", "编号", nil},
				{"name", "NAME", "名称", nil},
				{"prefix", "PREFIX", "前缀", nil},
				{"userId", "OWNER", "所有者", nil},
				{"status", "STATUS", "状态", enabled},
				{"expireTime", "EXPIRES", "到期", ago},
				{"lastUsedTime", "USED", "最近使用", ago},
				{"scopes", "SCOPES", "权限范围", nil},
			},
			filters: []filter{{"name", "name", "name contains"}, {"user", "userId", "id of the owner"}, {"status", "status", "0 disabled, 1 enabled"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.APIKey], error) {
				return c.Keys.List
			},
		}),
		newShow(e, "<key-id>", "Show an API key, without its secret", func(c *client.Client) func(context.Context, int64) (api.APIKey, error) { return c.Keys.Get }),
		newKeyCreate(e),
		newUpdate(e, "<key-id>", "Change an API key; scopes may only shrink", []bodyFlag{
			{"name", "name", "name", false},
			{"scopes", "scopes", "permission codes or module:*, comma separated", false},
			{"status", "status", "0 disabled, 1 enabled", false},
			{"expires", "expireTime", "expiry, RFC 3339", false},
			{"allow", "allowCidr", "networks it may come from, comma separated", false},
		}, func(c *client.Client) func(context.Context, int64, api.UpdateAPIKey) (api.APIKey, error) {
			return c.Keys.Update
		}),
		newDelete(e, "<key-id>", "End an API key at once", func(c *client.Client) func(context.Context, int64) error { return c.Keys.Delete }),
		newKeyRotate(e),
	)
}

func newKeyCreate(e *env) *cobra.Command {
	var file string
	body := &bodyFlags{env: e, flags: []bodyFlag{
		{"name", "name", "name", true},
		{"scopes", "scopes", "permission codes or module:*, comma separated", true},
		{"expires", "expireTime", "expiry, RFC 3339, at most two years ahead", true},
		{"user", "userId", "owner; yourself by default", false},
		{"allow", "allowCidr", "networks it may come from, comma separated", false},
	}}
	c := verb("create", "Create an API key; its secret is shown only now", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[api.CreateAPIKey](body)
		if err != nil {
			return err
		}
		return keyMade(ctx, e, file, func(ctx context.Context, c *client.Client) (api.NewAPIKey, error) {
			return c.Keys.Create(ctx, request)
		})
	})
	body.register(c)
	secretFlag(c, &file)
	return c
}

func newKeyRotate(e *env) *cobra.Command {
	var file string
	var overlap int
	c := verb("rotate <key-id>", "Make a new secret; the old one works on for a while", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if overlap < 0 || overlap > 168 {
			return usage("--overlap-hours %d: want 0 to 168", overlap)
		}
		return keyMade(ctx, e, file, func(ctx context.Context, c *client.Client) (api.NewAPIKey, error) {
			return c.Keys.Rotate(ctx, target, api.RotateAPIKey{OverlapHours: &overlap})
		})
	})
	c.Flags().IntVar(&overlap, "overlap-hours", 24, "how long the old secret works on")
	secretFlag(c, &file)
	return c
}

// keyMade shows a new key, or puts its secret into a file.
func keyMade(ctx context.Context, e *env, file string, call func(context.Context, *client.Client) (api.NewAPIKey, error)) error {
	return withSecret(ctx, e, file, call, func(made *api.NewAPIKey) *string { return &made.Key })
}

func newQuotaGroup(e *env) *cobra.Command {
	return group(
		"quota", "What tenants may have, and what they have",
		newShow(e, "<tenant-id>", "Show what a tenant uses of its limits", func(c *client.Client) func(context.Context, int64) (api.Usage, error) {
			return c.Quotas.Usage
		}),
		newBodyVerb(e, "set <tenant-id>", "Change the limits of a tenant", quotaFlags(), func(ctx context.Context, c *client.Client, id int64, b api.Quota) (api.Usage, error) {
			return c.Quotas.Set(ctx, id, b)
		}),
		newQuotaCheck(e),
	)
}

func quotaFlags() []bodyFlag {
	return []bodyFlag{
		{"users", "maxUsers", "limit, null for none", false},
		{"stations", "maxStations", "limit, null for none", false},
		{"chargers", "maxChargers", "limit, null for none", false},
		{"children", "maxChildren", "limit, null for none", false},
		{"sessions", "maxSessions", "limit, null for none", false},
	}
}

func newQuotaCheck(e *env) *cobra.Command {
	var count int
	c := verb("check <tenant-id> <station|charger|user|child>", "Ask whether something may be added; exit code 6 when not", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if err := oneOf("resource", args[1], "station", "charger", "user", "child"); err != nil {
			return err
		}
		if count < 1 {
			return usage("--count %d: want 1 or more", count)
		}
		return quotaCheck(ctx, e, target, args[1], client.Query{"count": strconv.Itoa(count)})
	})
	c.Flags().IntVar(&count, "count", 1, "how many are to be added")
	return c
}

func quotaCheck(ctx context.Context, e *env, tenant int64, what string, q client.Query) error {
	allowed := false
	err := act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.QuotaCheck, error) {
		ask := map[string]func(context.Context, int64, client.Query) (api.QuotaCheck, error){
			"station": c.Quotas.AddStation, "charger": c.Quotas.AddCharger, "user": c.Quotas.AddUser, "child": c.Quotas.AddChild,
		}[what]
		found, err := ask(ctx, tenant, q)
		allowed = found.Allowed
		return found, err
	})
	if err == nil && !allowed {
		return &exitError{exitConflict, nil}
	}
	return err
}

func newTagGroup(e *env) *cobra.Command {
	flags := func(create bool) []bodyFlag {
		list := []bodyFlag{
			{"user", "userId", "driver, in your own numbering", false},
			{"status", "status", "ACTIVE or BLOCKED", false},
			{"expires", "expireTime", "expiry, RFC 3339; null for never", false},
			{"parent", "parentIdTag", "group it belongs to", false},
			{"remark", "remark", "remark", false},
		}
		if create {
			list = append(list, bodyFlag{"tag", "idTag", "what the charger reads", true})
		}
		return list
	}
	return group(
		"id-tag", "Cards, vehicles and accounts that chargers ask about",
		newList(e, listSpec[api.IDTag]{
			short: "List id tags",
			columns: []column{
				{"idTagId", "ID", "编号", nil},
				{"idTag", "TAG", "卡号", nil},
				{"userId", "DRIVER", "用户", nil},
				{"status", "STATUS", "状态", nil},
				{"parentIdTag", "GROUP", "组", nil},
				{"expireTime", "EXPIRES", "到期", ago},
				{"remark", "REMARK", "备注", nil},
			},
			filters: []filter{{"tag", "idTag", "tag"}, {"user", "userId", "driver"}, {"status", "status", "ACTIVE or BLOCKED"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.IDTag], error) {
				return c.Tags.List
			},
		}),
		newShow(e, "<id-tag-id>", "Show an id tag", func(c *client.Client) func(context.Context, int64) (api.IDTag, error) { return c.Tags.Get }),
		newCreate(e, "Create an id tag", flags(true), func(c *client.Client) func(context.Context, api.CreateIDTag) (api.IDTag, error) {
			return c.Tags.Create
		}),
		newUpdate(e, "<id-tag-id>", "Change an id tag, block it or give it back", flags(false), func(c *client.Client) func(context.Context, int64, api.UpdateIDTag) (api.IDTag, error) {
			return c.Tags.Update
		}),
		newDelete(e, "<id-tag-id>", "Delete an id tag", func(c *client.Client) func(context.Context, int64) error { return c.Tags.Delete }),
	)
}

var auditFilters = []filter{
	{"action", "action", "action code"},
	{"user", "operatorUserId", "id of the operator"},
	{"target-tenant", "targetTenantId", "tenant it was done to"},
	{"cross-layer", "crossLayer", "true or false"},
	{"result", "result", "SUCCESS or FAILURE"},
	{"target-type", "targetType", "type of the object"},
	{"target-id", "targetId", "id of the object"},
	{"trace", "traceId", "trace id"},
	{"keyword", "keyword", "text"},
	{"from", "startTime", "not before"},
	{"to", "endTime", "before"},
}

func newAuditGroup(e *env) *cobra.Command {
	return group(
		"audit", "The audit record",
		newList(e, listSpec[api.AuditRow]{
			short: "List the audit record, newest first",
			columns: []column{
				{"operateTime", "TIME", "时间", ago},
				{"operatorUserName", "WHO", "操作人", nil},
				{"action", "ACTION", "操作", nil},
				{"targetType", "TARGET", "对象", nil},
				{"targetId", "ID", "编号", nil},
				{"result", "RESULT", "结果", nil},
				{"clientIp", "ADDRESS", "地址", nil},
				{"traceId", "TRACE", "追踪号", nil},
			},
			filters: auditFilters,
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.AuditRow], error) {
				return c.Audit.List
			},
		}),
		newQuery(e, "actions", "Show every action the record knows", nil, func(ctx context.Context, c *client.Client, _ client.Query) (map[string]string, error) {
			return c.Audit.Actions(ctx)
		}),
		newRead(e, readSpec[api.CrossLayerCount]{
			use: "cross-layer", short: "Count what was done across tenants, by action",
			columns: []column{
				{"action", "ACTION", "操作", nil},
				{"count", "COUNT", "次数", nil},
				{"successCount", "DONE", "成功", nil},
				{"failureCount", "REFUSED", "失败", nil},
			},
			filters: timeFilters,
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.CrossLayerCount, error) {
				return c.Audit.CrossLayer
			},
		}),
		verb("verify", "Verify the hash chain of the audit record; exit code 1 when it is broken", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			return auditVerify(ctx, e)
		}),
	)
}

// auditVerify fails when the chain is broken.
func auditVerify(ctx context.Context, e *env) error {
	var seen api.AuditVerification
	err := act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.AuditVerification, error) {
		found, err := c.Audit.Verify(ctx)
		seen = found
		return found, err
	})
	if err == nil && !seen.OK {
		return &exitError{exitFailed, errChain}
	}
	return err
}

func newTenantQuota(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: quotaFlags()}
	c := verb("quota <tenant-id>", "Show what a tenant uses, or change its limits", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if !body.touched() {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Usage, error) { return c.Quotas.Usage(ctx, target) })
		}
		request, err := readBody[api.Quota](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Usage, error) {
			return c.Quotas.Set(ctx, target, request)
		})
	})
	body.register(c)
	return c
}
