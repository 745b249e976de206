package tenant

import "github.com/evcs/evcs/internal/evcs"

// Action is what an audit row is about.
type Action string

// The actions of contract §12. CREATE, UPDATE and DELETE of a kind of object
// are made with Created, Updated and Deleted.
const (
	CreateTenant     Action = "CREATE_TENANT"
	DeleteTenant     Action = "DELETE_TENANT"
	UpdateTenant     Action = "UPDATE_TENANT"
	UpdateQuota      Action = "UPDATE_QUOTA"
	UpdateStatus     Action = "UPDATE_STATUS"
	ResetPassword    Action = "RESET_PASSWORD"
	DisableRecursive Action = "DISABLE_RECURSIVE"
	CrossLayerRead   Action = "CROSS_LAYER_READ"
	CrossLayerWrite  Action = "CROSS_LAYER_WRITE"
	MoveTenant       Action = "MOVE_TENANT"
	Login            Action = "LOGIN"
	LoginFailed      Action = "LOGIN_FAILED"
	Logout           Action = "LOGOUT"
	ChangePassword   Action = "CHANGE_PASSWORD"
	RefreshReuse     Action = "REFRESH_REUSE"
	UpdateSettings   Action = "UPDATE_SETTINGS"
	AssignPlan       Action = "ASSIGN_PLAN"
	DeviceCredential Action = "DEVICE_CREDENTIAL"
	DeviceCommand    Action = "DEVICE_COMMAND"
	OrderToPay       Action = "ORDER_TO_PAY"
	OrderCancel      Action = "ORDER_CANCEL"
	OrderAdjust      Action = "ORDER_ADJUST"
	OrderReprice     Action = "ORDER_REPRICE"
	OrderMarkPaid    Action = "ORDER_MARK_PAID"
	SessionAdopt     Action = "SESSION_ADOPT"
	SessionClose     Action = "SESSION_CLOSE"
	Refund           Action = "REFUND"
	ReconResolve     Action = "RECON_RESOLVE"
	ReconApprove     Action = "RECON_APPROVE"
	ReconClose       Action = "RECON_CLOSE"
	ReconReopen      Action = "RECON_REOPEN"
	LedgerBook       Action = "LEDGER_BOOK"
	LedgerReverse    Action = "LEDGER_REVERSE"
	AlertAcknowledge Action = "ALERT_ACKNOWLEDGE"
	AlertResolve     Action = "ALERT_RESOLVE"
	Export           Action = "EXPORT"

	// What is done to the installation at its host, by evcsd itself.
	SealingKeyNew     Action = "SEALING_KEY_NEW"
	SealingKeyReseal  Action = "SEALING_KEY_RESEAL"
	SealingKeyDrop    Action = "SEALING_KEY_DROP"
	SealingKeyAbandon Action = "SEALING_KEY_ABANDON"
)

// The kinds of objects with CREATE_, UPDATE_ and DELETE_ actions, which are
// also target types of audit rows.
const (
	KindUser                = "USER"
	KindRole                = "ROLE"
	KindAPIKey              = "API_KEY"
	KindStation             = "STATION"
	KindCharger             = "CHARGER"
	KindIDTag               = "ID_TAG"
	KindBillingPlan         = "BILLING_PLAN"
	KindMerchant            = "MERCHANT"
	KindWebhook             = "WEBHOOK"
	KindAlertRule           = "ALERT_RULE"
	KindNotificationChannel = "NOTIFICATION_CHANNEL"
)

// The other target types.
const (
	KindTenant     = "TENANT"
	KindOrder      = "ORDER"
	KindSession    = "SESSION"
	KindCommand    = "COMMAND"
	KindPayment    = "PAYMENT"
	KindRefund     = "REFUND"
	KindBatch      = "RECON_BATCH"
	KindDifference = "RECON_DIFFERENCE"
	KindAlert      = "ALERT"

	KindLedgerEntry = "LEDGER_ENTRY"
	KindSealingKey  = "SEALING_KEY"
)

// Created is the action of creating a kind of object.
func Created(kind string) Action { return Action("CREATE_" + kind) }

// Updated is the action of changing a kind of object.
func Updated(kind string) Action { return Action("UPDATE_" + kind) }

// Deleted is the action of deleting a kind of object.
func Deleted(kind string) Action { return Action("DELETE_" + kind) }

// Actions lists every action with its label in both languages.
func Actions() map[Action]evcs.Detail {
	list := map[Action]evcs.Detail{
		CreateTenant:     {ZH: "创建租户", EN: "Tenant created"},
		DeleteTenant:     {ZH: "删除租户", EN: "Tenant deleted"},
		UpdateTenant:     {ZH: "修改租户", EN: "Tenant changed"},
		UpdateQuota:      {ZH: "修改配额", EN: "Quota changed"},
		UpdateStatus:     {ZH: "修改状态", EN: "Status changed"},
		ResetPassword:    {ZH: "重置密码", EN: "Password reset"},
		DisableRecursive: {ZH: "级联停用", EN: "Subtree disabled"},
		CrossLayerRead:   {ZH: "跨层级查看", EN: "Descendant read"},
		CrossLayerWrite:  {ZH: "跨层级操作", EN: "Descendant changed"},
		MoveTenant:       {ZH: "移动租户", EN: "Tenant moved"},
		Login:            {ZH: "登录", EN: "Signed in"},
		LoginFailed:      {ZH: "登录失败", EN: "Sign-in failed"},
		Logout:           {ZH: "退出登录", EN: "Signed out"},
		ChangePassword:   {ZH: "修改密码", EN: "Password changed"},
		RefreshReuse:     {ZH: "刷新令牌被重复使用", EN: "Refresh token used twice"},
		UpdateSettings:   {ZH: "修改设置", EN: "Settings changed"},
		AssignPlan:       {ZH: "分配计费方案", EN: "Billing plan assigned"},
		DeviceCredential: {ZH: "设备凭证变更", EN: "Device credential changed"},
		DeviceCommand:    {ZH: "下发设备指令", EN: "Device command"},
		OrderToPay:       {ZH: "订单转为待支付", EN: "Order released for payment"},
		OrderCancel:      {ZH: "取消订单", EN: "Order cancelled"},
		OrderAdjust:      {ZH: "调整订单金额", EN: "Order adjusted"},
		OrderReprice:     {ZH: "订单重新计价", EN: "Order repriced"},
		OrderMarkPaid:    {ZH: "订单标记已支付", EN: "Order marked as paid"},
		SessionAdopt:     {ZH: "认领孤立会话", EN: "Orphan session adopted"},
		SessionClose:     {ZH: "关闭会话", EN: "Session closed"},
		Refund:           {ZH: "退款", EN: "Refund"},
		ReconResolve:     {ZH: "处理对账差异", EN: "Difference resolved"},
		ReconApprove:     {ZH: "复核对账差异", EN: "Difference approved"},
		ReconClose:       {ZH: "关账", EN: "Batch closed"},
		ReconReopen:      {ZH: "重新打开账期", EN: "Batch reopened"},
		LedgerBook:       {ZH: "登记资金变动", EN: "Movement booked"},
		LedgerReverse:    {ZH: "冲销分录", EN: "Entry reversed"},
		AlertAcknowledge: {ZH: "确认告警", EN: "Alert acknowledged"},
		AlertResolve:     {ZH: "解决告警", EN: "Alert resolved"},
		Export:           {ZH: "导出数据", EN: "Data exported"},

		SealingKeyNew:     {ZH: "新建密封密钥", EN: "Sealing key made"},
		SealingKeyReseal:  {ZH: "用新密钥重新密封", EN: "Secrets sealed anew"},
		SealingKeyDrop:    {ZH: "移除旧密封密钥", EN: "Old sealing keys dropped"},
		SealingKeyAbandon: {ZH: "放弃丢失的密封密钥", EN: "Lost sealing key given up"},
	}
	for kind, name := range kindLabels {
		list[Created(kind)] = evcs.Detail{ZH: "创建" + name.ZH, EN: name.EN + " created"}
		list[Updated(kind)] = evcs.Detail{ZH: "修改" + name.ZH, EN: name.EN + " changed"}
		list[Deleted(kind)] = evcs.Detail{ZH: "删除" + name.ZH, EN: name.EN + " deleted"}
	}
	return list
}

var kindLabels = map[string]evcs.Detail{
	KindUser:                {ZH: "用户", EN: "User"},
	KindRole:                {ZH: "角色", EN: "Role"},
	KindAPIKey:              {ZH: "API 密钥", EN: "API key"},
	KindStation:             {ZH: "充电站", EN: "Station"},
	KindCharger:             {ZH: "充电桩", EN: "Charger"},
	KindIDTag:               {ZH: "充电卡", EN: "Id tag"},
	KindBillingPlan:         {ZH: "计费方案", EN: "Billing plan"},
	KindMerchant:            {ZH: "商户", EN: "Merchant account"},
	KindWebhook:             {ZH: "Webhook", EN: "Webhook"},
	KindAlertRule:           {ZH: "告警规则", EN: "Alert rule"},
	KindNotificationChannel: {ZH: "通知渠道", EN: "Notification channel"},
}
