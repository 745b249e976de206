package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newTenantGroup(e *env) *cobra.Command {
	return group(
		"tenant", "Tenants, their tree, quotas and settings",
		newList(e, listSpec[api.Tenant]{
			short: "List tenants",
			columns: []column{
				{"tenantId", "ID", "编号", nil},
				{"tenantCode", "CODE", "编码", nil},
				{"tenantName", "NAME", "名称", nil},
				{"parentId", "PARENT", "上级", nil},
				{"tenantType", "TYPE", "类型", nil},
				{"effectiveStatus", "STATUS", "状态", nil},
				{"expireTime", "EXPIRES", "到期", ago},
				{"createTime", "CREATED", "创建", ago},
			},
			filters: []filter{
				{"name", "tenantName", "name contains"},
				{"code", "tenantCode", "code contains"},
				{"type", "tenantType", "1 platform, 2 operator, 3 partner"},
				{"status", "status", "0 disabled, 1 enabled"},
				{"effective", "effectiveStatus", "ACTIVE, DISABLED, EXPIRED"},
				{"parent", "parentId", "direct children of a tenant"},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Tenant], error) {
				return c.Tenants.List
			},
		}),
		newShow(e, "<tenant-id>", "Show a tenant", func(c *client.Client) func(context.Context, int64) (api.Tenant, error) { return c.Tenants.Get }),
		newTenantCreate(e),
		newUpdate(e, "<tenant-id>", "Change a tenant", []bodyFlag{
			{"name", "tenantName", "name", false},
			{"contact", "contactPerson", "contact person", false},
			{"phone", "contactPhone", "phone of the contact", false},
			{"expires", "expireTime", "expiry, null for never", false},
			{"remark", "remark", "remark", false},
		}, func(c *client.Client) func(context.Context, int64, api.UpdateTenant) (api.Tenant, error) {
			return c.Tenants.Update
		}),
		newDelete(e, "<tenant-id>", "Delete an empty tenant", func(c *client.Client) func(context.Context, int64) error { return c.Tenants.Delete }),
		newSwitch(e, "enable", "<tenant-id>", "Enable a tenant", func(ctx context.Context, c *client.Client, id int64) (api.TenantStatus, error) {
			return c.Tenants.SetStatus(ctx, id, 1)
		}),
		newTenantDisable(e),
		newTenantTree(e),
		newTenantQuota(e), newTenantSettings(e),
	)
}

// tenantCreateOptions is the administrator wanted beside the tenant.
type tenantCreateOptions struct{ admin, adminName string }

func newTenantCreate(e *env) *cobra.Command {
	var opts tenantCreateOptions
	body := &bodyFlags{env: e, flags: []bodyFlag{
		{"code", "tenantCode", "code, unique in the installation", true},
		{"name", "tenantName", "name", true},
		{"contact", "contactPerson", "contact person", true},
		{"phone", "contactPhone", "phone of the contact", true},
		{"type", "tenantType", "1 platform, 2 operator, 3 partner", true},
		{"parent", "parentId", "parent tenant; own tenant by default", false},
		{"expires", "expireTime", "expiry; never by default", false},
	}}
	c := verb("create", "Create a tenant, with its first administrator if asked", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[api.CreateTenant](body)
		if err != nil {
			return err
		}
		return tenantCreate(ctx, e, opts, request)
	})
	body.register(c)
	c.Flags().StringVar(&opts.admin, "admin", "", "username of the first administrator; the password is shown once")
	c.Flags().StringVar(&opts.adminName, "admin-name", "", "real name of the administrator")
	return c
}

func tenantCreate(ctx context.Context, e *env, opts tenantCreateOptions, request api.CreateTenant) error {
	if opts.admin != "" {
		request.Admin = &api.CreateAdmin{Username: opts.admin, RealName: text(opts.adminName)}
	}
	if request.ParentID == nil {
		target, err := e.target()
		if err != nil {
			return err
		}
		request.ParentID = id(target.Tenant)
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.NewTenant, error) {
		return c.Tenants.Create(ctx, request)
	})
}

func newTenantDisable(e *env) *cobra.Command {
	return verb("disable <tenant-id>", "Disable a tenant and block its whole subtree", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if err := e.confirm(fmt.Sprintf(e.say("Disable tenant %d and everything below it?", "停用租户 %d 及其全部下级?"), target)); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.TenantStatus, error) {
			return c.Tenants.SetStatus(ctx, target, 0)
		})
	})
}

func newTenantTree(e *env) *cobra.Command {
	var root, depth string
	c := verb("tree", "Show the tree of tenants", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return tenantTree(ctx, e, client.Query{}.With("rootId", root).With("depth", depth))
	})
	c.Flags().StringVar(&root, "root", "", "tenant to begin at; own tenant by default")
	c.Flags().StringVar(&depth, "depth", "", "levels to show; all by default")
	return c
}

// tenantTree writes the tree indented for people and pipes, as it is for
// programs.
func tenantTree(ctx context.Context, e *env, q client.Query) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	tree, err := c.Tenants.Tree(ctx, q)
	if err != nil {
		return err
	}
	if form == formatJSON || form == formatYAML {
		return e.structured(ctx, form, tree)
	}
	nodes, err := treeNodes(tree)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		e.branch(node, 0)
	}
	return nil
}

// treeNodes reads the tree, whether its root comes alone or in a list.
func treeNodes(text json.RawMessage) ([]api.TenantNode, error) {
	var one api.TenantNode
	if json.Unmarshal(text, &one) == nil {
		return []api.TenantNode{one}, nil
	}
	var many []api.TenantNode
	if err := json.Unmarshal(text, &many); err != nil {
		return nil, fmt.Errorf("%w: %w", client.ErrAnswer, err)
	}
	return many, nil
}

func (e *env) branch(node api.TenantNode, depth int) {
	fmt.Fprintf(e.Out, "%*s%d  %s  %s", depth*2, "", node.TenantID, flat(node.TenantCode), flat(node.TenantName))
	if node.EffectiveStatus != api.TenantActive {
		fmt.Fprintf(e.Out, "  [%s]", node.EffectiveStatus)
	}
	fmt.Fprintln(e.Out)
	for _, child := range node.Children {
		e.branch(child, depth+1)
	}
}

func newTenantQuota(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: []bodyFlag{
		{"users", "maxUsers", "limit, null for none", false},
		{"stations", "maxStations", "limit, null for none", false},
		{"chargers", "maxChargers", "limit, null for none", false},
		{"children", "maxChildren", "limit, null for none", false},
		{"sessions", "maxSessions", "limit, null for none", false},
	}}
	c := verb("quota <tenant-id>", "Show what a tenant uses, or change its limits", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if !body.touched() {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Usage, error) { return c.Tenants.Usage(ctx, target) })
		}
		request, err := readBody[api.Quota](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Usage, error) {
			return c.Tenants.SetQuota(ctx, target, request)
		})
	})
	body.register(c)
	return c
}

func newTenantSettings(e *env) *cobra.Command {
	body := &bodyFlags{env: e}
	c := verb("settings <tenant-id>", "Show the settings of a tenant, or change them with --set", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if !body.touched() {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Settings, error) {
				return c.Tenants.Settings(ctx, target)
			})
		}
		request, err := readBody[api.UpdateSettings](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Settings, error) {
			return c.Tenants.UpdateSettings(ctx, target, request)
		})
	})
	body.register(c)
	return c
}

// touched reports whether anything of the body was given.
func (b *bodyFlags) touched() bool {
	given := b.file != "" || len(b.sets) > 0
	for _, f := range b.flags {
		given = given || b.cmd.Flags().Changed(f.flag)
	}
	return given
}

func newUserGroup(e *env) *cobra.Command {
	return group(
		"user", "Users",
		newList(e, listSpec[api.User]{
			short: "List users",
			columns: []column{
				{"userId", "ID", "编号", nil},
				{"identifier", "IDENTIFIER", "登录标识", nil},
				{"realName", "NAME", "姓名", nil},
				{"roles", "ROLES", "角色", nil},
				{"status", "STATUS", "状态", enabled},
				{"tenantId", "TENANT", "租户", nil},
				{"lockedUntil", "LOCKED", "锁定至", ago},
				{"lastLoginTime", "LAST LOGIN", "最近登录", ago},
			},
			filters: []filter{
				{"username", "username", "username contains"},
				{"identifier", "identifier", "identifier contains"},
				{"name", "realName", "name contains"},
				{"role", "roleCode", "role code"},
				{"status", "status", "0 disabled, 1 enabled"},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.User], error) {
				return c.Users.List
			},
		}),
		newShow(e, "<user-id>", "Show a user", func(c *client.Client) func(context.Context, int64) (api.User, error) { return c.Users.Get }),
		newCreate(e, "Create a user; a generated password is shown once", []bodyFlag{
			{"username", "username", "username", true},
			{"name", "realName", "real name", false},
			{"roles", "roles", "role codes, comma separated", false},
			{"identifier", "identifier", "identifier to sign in with", false},
			{"phone", "phone", "phone", false},
			{"email", "email", "mail address", false},
		}, func(c *client.Client) func(context.Context, api.CreateUser) (api.NewUser, error) {
			return c.Users.Create
		}),
		newUpdate(e, "<user-id>", "Change a user", []bodyFlag{
			{"name", "realName", "real name", false},
			{"roles", "roles", "role codes, comma separated", false},
			{"identifier", "identifier", "identifier to sign in with", false},
			{"phone", "phone", "phone", false},
			{"email", "email", "mail address", false},
		}, func(c *client.Client) func(context.Context, int64, api.UpdateUser) (api.User, error) {
			return c.Users.Update
		}),
		newDelete(e, "<user-id>", "Delete a user", func(c *client.Client) func(context.Context, int64) error { return c.Users.Delete }),
		newSwitch(e, "enable", "<user-id>", "Enable a user", func(ctx context.Context, c *client.Client, id int64) (api.UserStatus, error) {
			return c.Users.SetStatus(ctx, id, 1)
		}),
		newSwitch(e, "disable", "<user-id>", "Disable a user", func(ctx context.Context, c *client.Client, id int64) (api.UserStatus, error) {
			return c.Users.SetStatus(ctx, id, 0)
		}),
		newSwitch(e, "reset-password", "<user-id>", "Give a user a generated password, shown once", func(ctx context.Context, c *client.Client, id int64) (api.PasswordReset, error) {
			return c.Users.ResetPassword(ctx, id, api.ResetPassword{})
		}),
		verb("unlock <user-id>", "Clear the lock of a user", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			target, err := parseID(args[0])
			if err != nil {
				return err
			}
			return do(ctx, e, e.say("Unlocked", "已解锁"), func(ctx context.Context, c *client.Client) error { return c.Users.Unlock(ctx, target) })
		}),
	)
}

func newRoleGroup(e *env) *cobra.Command {
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
				return c.Users.Roles
			},
		}),
		newShow(e, "<role-id>", "Show a role", func(c *client.Client) func(context.Context, int64) (api.Role, error) { return c.Users.Role }),
		newPermissions(e),
	)
}

func newPermissions(e *env) *cobra.Command {
	return verb("permissions", "List every permission there is", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		c, err := e.client()
		if err != nil {
			return err
		}
		ctx, cancel := e.deadline(ctx, 0)
		defer cancel()
		all, err := c.Users.Permissions(ctx)
		if err != nil {
			return err
		}
		return e.list(ctx, all, []column{{"code", "CODE", "编码", nil}, {"module", "MODULE", "模块", nil}, {"name", "NAME", "名称", nil}}, -1)
	})
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
			filters: []filter{
				{"action", "action", "action code"},
				{"user", "operatorUserId", "id of the operator"},
				{"result", "result", "SUCCESS or FAILURE"},
				{"target-type", "targetType", "type of the object"},
				{"target-id", "targetId", "id of the object"},
				{"trace", "traceId", "trace id"},
				{"keyword", "keyword", "text"},
				{"from", "startTime", "not before"},
				{"to", "endTime", "before"},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.AuditRow], error) {
				return c.Audit.List
			},
		}),
		verb("verify", "Verify the hash chain of the audit record", cobra.NoArgs, func(ctx context.Context, _ []string) error {
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
