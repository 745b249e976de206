package auth

import (
	"maps"
	"slices"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// The built-in roles.
const (
	RoleAdmin    evcs.RoleID = 1
	RoleOperator evcs.RoleID = 2
	RoleFinance  evcs.RoleID = 3
	RoleViewer   evcs.RoleID = 4
)

// BuiltIn reports whether id is one of the built-in roles.
func BuiltIn(id evcs.RoleID) bool { return id >= RoleAdmin && id <= RoleViewer }

// BuiltInCodes are the codes of the built-in roles in the order of their ids.
func BuiltInCodes() []string { return []string{"ADMIN", "OPERATOR", "FINANCE", "VIEWER"} }

// holding says which built-in roles hold a permission.
type holding uint16

const (
	admin holding = 1 << iota
	operator
	finance
	viewer
	// The same, but only in a tenant of type 1.
	platformAdmin
	platformOperator
	platformFinance
	platformViewer

	everyone = admin | operator | finance | viewer
	running  = admin | operator // who runs the chargers
	counting = admin | finance  // who counts the money
)

// entry is one row of the permission list.
type entry struct {
	code evcs.Permission
	held holding
	name evcs.Detail
}

// permissions is the complete list of contract §3.4.
var permissions = []entry{
	{"station:list", everyone, evcs.Detail{ZH: "站点列表", EN: "List stations"}},
	{"station:query", everyone, evcs.Detail{ZH: "查看站点", EN: "View stations"}},
	{"station:add", running, evcs.Detail{ZH: "新增站点", EN: "Create stations"}},
	{"station:edit", running, evcs.Detail{ZH: "修改站点", EN: "Change stations"}},
	{"station:remove", running, evcs.Detail{ZH: "删除站点", EN: "Delete stations"}},
	{"charger:list", everyone, evcs.Detail{ZH: "充电桩列表", EN: "List chargers"}},
	{"charger:query", everyone, evcs.Detail{ZH: "查看充电桩", EN: "View chargers"}},
	{"charger:add", running, evcs.Detail{ZH: "新增充电桩", EN: "Create chargers"}},
	{"charger:edit", running, evcs.Detail{ZH: "修改充电桩", EN: "Change chargers"}},
	{"charger:remove", running, evcs.Detail{ZH: "删除充电桩", EN: "Delete chargers"}},
	{"charger:charge", running, evcs.Detail{ZH: "启停充电", EN: "Start and stop charging"}},
	{"charger:control", running, evcs.Detail{ZH: "远程控制", EN: "Control chargers"}},
	{"charger:credential", running, evcs.Detail{ZH: "设备凭证", EN: "Device secrets"}},
	{"session:query", everyone, evcs.Detail{ZH: "查看充电会话", EN: "View sessions"}},
	{"session:manage", running, evcs.Detail{ZH: "处理充电会话", EN: "Adopt and close sessions"}},
	{"order:list", everyone, evcs.Detail{ZH: "订单列表", EN: "List orders"}},
	{"order:query", everyone, evcs.Detail{ZH: "查看订单", EN: "View orders"}},
	{"order:control", running, evcs.Detail{ZH: "启停订单", EN: "Start and stop orders"}},
	{"order:manage", running, evcs.Detail{ZH: "管理订单", EN: "Manage orders"}},
	{"order:settle", counting, evcs.Detail{ZH: "订单结算", EN: "Settle orders"}},
	{"order:adjust", counting, evcs.Detail{ZH: "调整订单金额", EN: "Adjust orders"}},
	{"billing:query", everyone, evcs.Detail{ZH: "查看计费方案", EN: "View billing plans"}},
	{"billing:edit", counting, evcs.Detail{ZH: "修改计费方案", EN: "Change billing plans"}},
	{"billing:assign", running | finance, evcs.Detail{ZH: "分配计费方案", EN: "Assign billing plans"}},
	{"idtag:query", running | viewer, evcs.Detail{ZH: "查看充电卡", EN: "View id tags"}},
	{"idtag:edit", running, evcs.Detail{ZH: "修改充电卡", EN: "Change id tags"}},
	{"payment:query", everyone, evcs.Detail{ZH: "查看支付", EN: "View payments"}},
	{"payment:create", running | finance, evcs.Detail{ZH: "创建支付", EN: "Create payments"}},
	{"payment:refund", counting, evcs.Detail{ZH: "退款", EN: "Refund"}},
	{"payment:merchant", admin, evcs.Detail{ZH: "商户配置", EN: "Merchant accounts"}},
	{"reconciliation:query", counting | viewer, evcs.Detail{ZH: "查看对账", EN: "View reconciliation"}},
	{"reconciliation:execute", counting, evcs.Detail{ZH: "执行对账", EN: "Run reconciliation"}},
	{"reconciliation:resolve", counting, evcs.Detail{ZH: "处理差异", EN: "Resolve differences"}},
	{"reconciliation:approve", counting, evcs.Detail{ZH: "复核差异", EN: "Approve resolutions"}},
	{"reconciliation:close", counting, evcs.Detail{ZH: "关账", EN: "Close batches"}},
	{"tenant:list", everyone, evcs.Detail{ZH: "租户列表", EN: "List tenants"}},
	{"tenant:query", everyone, evcs.Detail{ZH: "查看租户", EN: "View tenants"}},
	{"tenant:add", admin, evcs.Detail{ZH: "新增租户", EN: "Create tenants"}},
	{"tenant:edit", admin, evcs.Detail{ZH: "修改租户", EN: "Change tenants"}},
	{"tenant:remove", admin, evcs.Detail{ZH: "删除租户", EN: "Delete tenants"}},
	{"tenant:status", admin, evcs.Detail{ZH: "启停租户", EN: "Enable and disable tenants"}},
	{"tenant:quota", admin, evcs.Detail{ZH: "租户配额", EN: "Tenant quotas"}},
	{"tenant:settings", admin, evcs.Detail{ZH: "租户设置", EN: "Tenant settings"}},
	{"tenant:audit", counting, evcs.Detail{ZH: "审计日志", EN: "Audit record"}},
	{tenant.ReadDescendants, admin | platformOperator | platformFinance | platformViewer, evcs.Detail{ZH: "查看下级租户数据", EN: "Read descendants"}},
	{tenant.WriteDescendants, admin, evcs.Detail{ZH: "操作下级租户数据", EN: "Change descendants"}},
	{"user:query", running, evcs.Detail{ZH: "查看用户", EN: "View users"}},
	{"role:query", running, evcs.Detail{ZH: "查看角色", EN: "View roles"}},
	{"user:add", admin, evcs.Detail{ZH: "新增用户", EN: "Create users"}},
	{"user:edit", admin, evcs.Detail{ZH: "修改用户", EN: "Change users"}},
	{"user:remove", admin, evcs.Detail{ZH: "删除用户", EN: "Delete users"}},
	{"user:reset", admin, evcs.Detail{ZH: "重置密码", EN: "Reset passwords"}},
	{"role:edit", admin, evcs.Detail{ZH: "修改角色", EN: "Change roles"}},
	{"apikey:manage", admin, evcs.Detail{ZH: "API 密钥管理", EN: "Manage API keys"}},
	{"dashboard:view", everyone, evcs.Detail{ZH: "查看看板", EN: "View the dashboard"}},
	{"monitoring:view", everyone, evcs.Detail{ZH: "查看监控", EN: "View monitoring"}},
	{"monitoring:alert", running, evcs.Detail{ZH: "处理告警", EN: "Handle alerts"}},
	{"monitoring:log", running, evcs.Detail{ZH: "查看日志", EN: "View logs"}},
	{"monitoring:rule", admin, evcs.Detail{ZH: "告警规则与通知渠道", EN: "Alert rules and channels"}},
	{"monitoring:system", platformAdmin | platformOperator, evcs.Detail{ZH: "系统监控", EN: "Host figures"}},
	{"event:subscribe", everyone, evcs.Detail{ZH: "订阅事件", EN: "Subscribe to events"}},
	{"webhook:manage", admin, evcs.Detail{ZH: "管理 Webhook", EN: "Manage webhooks"}},
	{"export:create", running | finance, evcs.Detail{ZH: "导出数据", EN: "Export data"}},
	{"protocol:view", running, evcs.Detail{ZH: "查看连接与报文", EN: "View connections and frames"}},
	{"protocol:event", admin, evcs.Detail{ZH: "上报设备事件", EN: "Report device facts"}},
	{"protocol:debug", platformAdmin, evcs.Detail{ZH: "协议调试", EN: "Protocol debugging"}},
}

// Listed is one permission as the list shows it.
type Listed struct {
	Code   evcs.Permission
	Module string
	Name   evcs.Detail
}

// Permissions is the complete list.
func Permissions() []Listed {
	list := make([]Listed, len(permissions))
	for i, p := range permissions {
		list[i] = Listed{Code: p.code, Module: module(p.code), Name: p.name}
	}
	return list
}

func module(p evcs.Permission) string {
	name, _, _ := strings.Cut(string(p), ":")
	return name
}

// Known reports whether grant is a code of the list, or "module:*" of a module
// in it.
func Known(grant string) bool {
	return len(expand(grant)) > 0
}

// expand is the codes a grant stands for.
func expand(grant string) []evcs.Permission {
	name, all := strings.CutSuffix(grant, ":*")
	var codes []evcs.Permission
	for _, p := range permissions {
		if string(p.code) == grant || all && module(p.code) == name {
			codes = append(codes, p.code)
		}
	}
	return codes
}

// BuiltInGrants are the codes a built-in role holds in a tenant of this type.
func BuiltInGrants(id evcs.RoleID, platform bool) []string {
	if !BuiltIn(id) {
		return nil
	}
	bit := admin << (id - RoleAdmin)
	if platform {
		bit |= platformAdmin << (id - RoleAdmin)
	}
	var codes []string
	for _, p := range permissions {
		if p.held&bit != 0 {
			codes = append(codes, string(p.code))
		}
	}
	return codes
}

// grants are what a role holds in a tenant of this type.
func (r *Role) grants(platform bool) []string {
	if BuiltIn(r.ID) {
		return BuiltInGrants(r.ID, platform)
	}
	return r.Grants
}

// Resolve is the set of permissions that the roles hold together. What is for
// platform tenants only is held nowhere else, whatever a role says.
func Resolve(roles []Role, platform bool) map[evcs.Permission]bool {
	set := make(map[evcs.Permission]bool)
	for i := range roles {
		for _, grant := range roles[i].grants(platform) {
			for _, code := range expand(grant) {
				set[code] = true
			}
		}
	}
	if !platform {
		for _, p := range permissions {
			if p.held&everyone == 0 {
				delete(set, p.code)
			}
		}
	}
	return set
}

// Within is what the scopes of a key leave of its owner's permissions.
func Within(owner map[evcs.Permission]bool, scopes []string) map[evcs.Permission]bool {
	set := make(map[evcs.Permission]bool)
	for _, scope := range scopes {
		for _, code := range expand(scope) {
			if owner[code] {
				set[code] = true
			}
		}
	}
	return set
}

// MayGrant refuses with 6017 what the actor does not hold himself. "module:*"
// counts as all codes of the module.
func MayGrant(a *evcs.Actor, grants []string) error {
	missing := make(map[string]bool)
	for _, grant := range grants {
		for _, code := range expand(grant) {
			if !a.May(code) {
				missing[string(code)] = true
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return evcs.With(ErrGrant, map[string]any{"permissions": slices.Sorted(maps.Keys(missing))})
}

// mayGrantRoles is MayGrant for what roles hold in a tenant of this type.
func mayGrantRoles(a *evcs.Actor, roles []Role, platform bool) error {
	return MayGrant(a, codesOf(Resolve(roles, platform)))
}

func codesOf(set map[evcs.Permission]bool) []string {
	codes := make([]string, 0, len(set))
	for code := range set {
		codes = append(codes, string(code))
	}
	slices.Sort(codes)
	return codes
}

// Codes are the permissions of an actor in order.
func Codes(a *evcs.Actor) []string { return codesOf(a.Permissions) }
