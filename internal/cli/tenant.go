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
			short:   "List tenants",
			columns: tenantColumns(),
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
		newReadOf(e, readSpec[api.Tenant]{use: "children <tenant-id>", short: "List the direct children of a tenant", columns: tenantColumns()},
			func(ctx context.Context, c *client.Client, id int64) ([]api.Tenant, error) {
				return c.Tenants.Children(ctx, id)
			}),
		newTenantMove(e),
		newCodeCheck(e, "tenantCode", func(c *client.Client) func(context.Context, client.Query) (bool, error) { return c.Tenants.CodeTaken }),
		newTenantQuota(e), newTenantSettings(e),
	)
}

func tenantColumns() []column {
	return []column{
		{"tenantId", "ID", "编号", nil},
		{"tenantCode", "CODE", "编码", nil},
		{"tenantName", "NAME", "名称", nil},
		{"parentId", "PARENT", "上级", nil},
		{"tenantType", "TYPE", "类型", nil},
		{"effectiveStatus", "STATUS", "状态", nil},
		{"expireTime", "EXPIRES", "到期", ago},
		{"createTime", "CREATED", "创建", ago},
	}
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

func newTenantMove(e *env) *cobra.Command {
	var parent int64
	c := verb("move <tenant-id>", "Give a tenant and everything below it another parent", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if parent <= 0 {
			return usage("--parent is required")
		}
		if err := e.confirm(fmt.Sprintf(e.say("Move tenant %d below tenant %d?", "将租户 %d 移到租户 %d 之下?"), target, parent)); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Tenant, error) {
			return c.Tenants.Move(ctx, target, api.MoveTenant{ParentID: parent})
		})
	})
	c.Flags().Int64Var(&parent, "parent", 0, "tenant to move below (required)")
	return c
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
		newSwitch(e, "roles", "<user-id>", "Show the roles of a user", func(ctx context.Context, c *client.Client, id int64) (api.UserRoles, error) {
			return c.Users.Roles(ctx, id)
		}),
		newSetRoles(e),
		newTotpGroup(e),
		verb("unlock <user-id>", "Clear the lock of a user", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			target, err := parseID(args[0])
			if err != nil {
				return err
			}
			return do(ctx, e, e.say("Unlocked", "已解锁"), func(ctx context.Context, c *client.Client) error { return c.Users.Unlock(ctx, target) })
		}),
	)
}

// newSetRoles replaces the roles of a user; none is a set of roles too.
func newSetRoles(e *env) *cobra.Command {
	return verb("set-roles <user-id> [<role-code>...]", "Replace the roles of a user", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		roles := args[1:]
		if len(roles) == 0 {
			if err := e.confirm(fmt.Sprintf(e.say("Take every role from user %d?", "移除用户 %d 的全部角色?"), target)); err != nil {
				return err
			}
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.UserRoles, error) {
			return c.Users.SetRoles(ctx, target, roles)
		})
	})
}
