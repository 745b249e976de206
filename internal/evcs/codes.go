package evcs

// Code is one row of the closed error table. The daemon sends no other code on
// any of its ports; a new row is appended, a number is never reused.
type Code int

// The rows, in the order of their numbers.
const (
	CodeStationCodeExists      Code = 1001
	CodeStationNotFound        Code = 1002
	CodeStationState           Code = 1003
	CodeStationHasChargers     Code = 1004
	CodeChargerCodeExists      Code = 2001
	CodeChargerNotFound        Code = 2002
	CodeChargerState           Code = 2003
	CodeChargerOffline         Code = 2004
	CodeConnectorNotFound      Code = 2005
	CodeConnectorBusy          Code = 2006
	CodeChargerDisabled        Code = 2007
	CodeCommandNotFound        Code = 2008
	CodeCommandRejected        Code = 2009
	CodeCommandTimeout         Code = 2010
	CodeDeviceIDExists         Code = 2011
	CodeNotSimulated           Code = 2012
	CodeCommandState           Code = 2013
	CodeCommandUnsupported     Code = 2014
	CodeIDTagNotFound          Code = 2015
	CodeIDTagExists            Code = 2016
	CodeIDTagRefused           Code = 2017
	CodeDeviceAuthFailed       Code = 2020
	CodeDeviceUnknown          Code = 2021
	CodeDeviceClock            Code = 2022
	CodeRequestIDReused        Code = 2023
	CodeOrderNotFound          Code = 3001
	CodeOrderState             Code = 3002
	CodeOrderCancelled         Code = 3003
	CodeOrderTransition        Code = 3004
	CodeSessionNotFound        Code = 3005
	CodeSessionConflict        Code = 3006
	CodeNoBillingPlan          Code = 3007
	CodePlanNotFound           Code = 3008
	CodePlanCodeExists         Code = 3009
	CodePlanSegmentsInvalid    Code = 3010
	CodePlanLimit              Code = 3011
	CodePlanInUse              Code = 3012
	CodeOrderHasPayment        Code = 3013
	CodeOrderHasEnergy         Code = 3014
	CodeSessionState           Code = 3015
	CodePaymentFailed          Code = 4001
	CodePaymentTimeout         Code = 4002
	CodeAmountMismatch         Code = 4003
	CodePaymentNotFound        Code = 4004
	CodeRefundExceeds          Code = 4005
	CodeBadSignature           Code = 4006
	CodePaymentState           Code = 4007
	CodeAlreadyPaid            Code = 4008
	CodeChannelNotConfigured   Code = 4009
	CodeRefundNotFound         Code = 4010
	CodeStatementNotReady      Code = 4011
	CodeStatementInvalid       Code = 4012
	CodeReconciliationRunning  Code = 4013
	CodeBatchClosed            Code = 4014
	CodeDifferenceState        Code = 4015
	CodeCheckerRequired        Code = 4016
	CodeBatchNotFound          Code = 4017
	CodeDifferenceNotFound     Code = 4018
	CodeMerchantNotFound       Code = 4019
	CodeMerchantExists         Code = 4020
	CodeCloseBlocked           Code = 4021
	CodeTenantNotFound         Code = 5001
	CodeTenantContextMissing   Code = 5002
	CodeCrossTenantDenied      Code = 5003
	CodeTenantDisabled         Code = 5004
	CodeTenantExpired          Code = 5005
	CodeQuotaExceeded          Code = 5006
	CodeTenantCodeExists       Code = 5007
	CodeTenantNotEmpty         Code = 5008
	CodeTenantSelfChange       Code = 5009
	CodeTenantMoveInvalid      Code = 5010
	CodeBadCredentials         Code = 6001
	CodeAccountLocked          Code = 6002
	CodeTokenExpired           Code = 6003
	CodeAccountDisabled        Code = 6004
	CodeRefreshTokenInvalid    Code = 6005
	CodeUnauthenticated        Code = 6006
	CodePasswordPolicy         Code = 6007
	CodeOldPasswordWrong       Code = 6008
	CodeUserNotFound           Code = 6009
	CodeUserExists             Code = 6010
	CodeLastAdmin              Code = 6011
	CodePasswordChangeRequired Code = 6012
	CodeRoleNotFound           Code = 6013
	CodeRoleExists             Code = 6014
	CodeRoleInUse              Code = 6015
	CodeAPIKeyNotFound         Code = 6016
	CodeGrantExceedsOwn        Code = 6017
	CodeServiceUnknown         Code = 7001
	CodeAlertNotFound          Code = 7002
	CodeAlertState             Code = 7003
	CodeRuleNotFound           Code = 7004
	CodeChannelNotFound        Code = 7005
	CodeWebhookNotFound        Code = 7006
	CodeDeliveryFailed         Code = 7007
	CodeRuleBuiltIn            Code = 7008
	CodeValidationFailed       Code = 9400
	CodePermissionDenied       Code = 9403
	CodeRouteNotFound          Code = 9404
	CodeMethodNotAllowed       Code = 9405
	CodeVersionConflict        Code = 9409
	CodeIdempotencyKeyReused   Code = 9410
	CodeIdempotencyInProgress  Code = 9411
	CodeResultTooLarge         Code = 9412
	CodeBodyTooLarge           Code = 9413
	CodeCursorInvalid          Code = 9414
	CodeUnsupportedMediaType   Code = 9415
	CodeRateLimited            Code = 9429
	CodeServiceUnavailable     Code = 9503
	CodeInternalError          Code = 9999
)

// codeRow is what the table says about one code.
type codeRow struct {
	status int
	name   string
	zh, en string
}

var codeTable = map[Code]codeRow{
	CodeStationCodeExists:      {409, "STATION_CODE_EXISTS", "站点编码已存在", "Station code already exists"},
	CodeStationNotFound:        {404, "STATION_NOT_FOUND", "充电站不存在", "Station not found"},
	CodeStationState:           {409, "STATION_STATE", "充电站状态异常", "Station state does not allow this"},
	CodeStationHasChargers:     {409, "STATION_HAS_CHARGERS", "站点下存在充电桩,无法删除", "Station still has chargers"},
	CodeChargerCodeExists:      {409, "CHARGER_CODE_EXISTS", "充电桩编码已存在", "Charger code already exists"},
	CodeChargerNotFound:        {404, "CHARGER_NOT_FOUND", "充电桩不存在", "Charger not found"},
	CodeChargerState:           {409, "CHARGER_STATE", "充电桩状态异常", "Charger state does not allow this"},
	CodeChargerOffline:         {409, "CHARGER_OFFLINE", "充电桩离线", "Charger is offline"},
	CodeConnectorNotFound:      {404, "CONNECTOR_NOT_FOUND", "充电枪不存在", "Connector not found"},
	CodeConnectorBusy:          {409, "CONNECTOR_BUSY", "充电枪正在使用中", "Connector is busy"},
	CodeChargerDisabled:        {409, "CHARGER_DISABLED", "充电桩或充电枪已停用", "Charger or connector is disabled"},
	CodeCommandNotFound:        {404, "COMMAND_NOT_FOUND", "指令不存在", "Command not found"},
	CodeCommandRejected:        {409, "COMMAND_REJECTED", "设备拒绝执行指令", "The device refused the command"},
	CodeCommandTimeout:         {503, "COMMAND_TIMEOUT", "设备响应超时", "The device did not answer in time"},
	CodeDeviceIDExists:         {409, "DEVICE_ID_EXISTS", "设备标识已被占用", "Device id is taken"},
	CodeNotSimulated:           {409, "NOT_SIMULATED", "仅允许操作模拟充电桩", "Only simulated chargers may be used here"},
	CodeCommandState:           {409, "COMMAND_STATE", "指令状态不允许该操作", "Command state does not allow this"},
	CodeCommandUnsupported:     {409, "COMMAND_UNSUPPORTED", "该协议不支持此指令", "The charger's protocol has no such command"},
	CodeIDTagNotFound:          {404, "ID_TAG_NOT_FOUND", "充电卡不存在", "Id tag not found"},
	CodeIDTagExists:            {409, "ID_TAG_EXISTS", "充电卡已存在", "Id tag already exists"},
	CodeIDTagRefused:           {403, "ID_TAG_REFUSED", "充电卡未授权", "Id tag is not authorised"},
	CodeDeviceAuthFailed:       {401, "DEVICE_AUTH_FAILED", "设备鉴权失败", "Device authentication failed"},
	CodeDeviceUnknown:          {404, "DEVICE_UNKNOWN", "设备未注册", "Device is not registered"},
	CodeDeviceClock:            {401, "DEVICE_CLOCK", "设备时间戳超出允许范围", "Device timestamp out of range"},
	CodeRequestIDReused:        {409, "REQUEST_ID_REUSED", "requestId 已用于不同的报文", "requestId was used for another message"},
	CodeOrderNotFound:          {404, "ORDER_NOT_FOUND", "订单不存在", "Order not found"},
	CodeOrderState:             {409, "ORDER_STATE", "订单状态异常", "Order state does not allow this"},
	CodeOrderCancelled:         {409, "ORDER_CANCELLED", "订单已取消", "Order was cancelled"},
	CodeOrderTransition:        {409, "ORDER_TRANSITION", "订单状态不允许该流转", "Illegal order transition"},
	CodeSessionNotFound:        {404, "SESSION_NOT_FOUND", "充电会话不存在", "Session not found"},
	CodeSessionConflict:        {409, "SESSION_CONFLICT", "会话标识已用于其他充电枪", "Session id belongs to another connector"},
	CodeNoBillingPlan:          {409, "NO_BILLING_PLAN", "没有可用的计费方案", "No usable billing plan"},
	CodePlanNotFound:           {404, "PLAN_NOT_FOUND", "计费方案不存在", "Billing plan not found"},
	CodePlanCodeExists:         {409, "PLAN_CODE_EXISTS", "计费方案编码已存在", "Billing plan code already exists"},
	CodePlanSegmentsInvalid:    {400, "PLAN_SEGMENTS_INVALID", "计费时段不合法", "Tariff segments are not valid"},
	CodePlanLimit:              {409, "PLAN_LIMIT", "计费方案数量超出上限", "Too many enabled plans"},
	CodePlanInUse:              {409, "PLAN_IN_USE", "计费方案正在使用,无法删除", "Billing plan is in use"},
	CodeOrderHasPayment:        {409, "ORDER_HAS_PAYMENT", "订单存在进行中的支付", "Order has a live payment"},
	CodeOrderHasEnergy:         {409, "ORDER_HAS_ENERGY", "订单已产生电量,不能取消", "Energy was delivered, the order cannot be cancelled"},
	CodeSessionState:           {409, "SESSION_STATE", "充电会话状态异常", "Session state does not allow this"},
	CodePaymentFailed:          {409, "PAYMENT_FAILED", "支付失败", "The payment channel refused"},
	CodePaymentTimeout:         {503, "PAYMENT_TIMEOUT", "支付渠道响应超时", "Payment channel outcome unknown"},
	CodeAmountMismatch:         {400, "AMOUNT_MISMATCH", "金额不一致", "Amount does not match the order"},
	CodePaymentNotFound:        {404, "PAYMENT_NOT_FOUND", "支付单不存在", "Payment not found"},
	CodeRefundExceeds:          {400, "REFUND_EXCEEDS", "退款金额超出可退金额", "Refund exceeds the refundable amount"},
	CodeBadSignature:           {400, "BAD_SIGNATURE", "签名验证失败", "Signature verification failed"},
	CodePaymentState:           {409, "PAYMENT_STATE", "支付单状态异常", "Payment state does not allow this"},
	CodeAlreadyPaid:            {409, "ALREADY_PAID", "订单已支付", "Order is already paid"},
	CodeChannelNotConfigured:   {409, "CHANNEL_NOT_CONFIGURED", "支付渠道未配置", "Payment channel is not configured"},
	CodeRefundNotFound:         {404, "REFUND_NOT_FOUND", "退款单不存在", "Refund not found"},
	CodeStatementNotReady:      {503, "STATEMENT_NOT_READY", "渠道账单未就绪", "Channel statement is not available"},
	CodeStatementInvalid:       {409, "STATEMENT_INVALID", "渠道账单校验失败", "Channel statement failed verification"},
	CodeReconciliationRunning:  {409, "RECONCILIATION_RUNNING", "对账正在执行", "Reconciliation is already running"},
	CodeBatchClosed:            {409, "BATCH_CLOSED", "对账批次已关账", "Reconciliation batch is closed"},
	CodeDifferenceState:        {409, "DIFFERENCE_STATE", "差异状态不允许该操作", "Difference state does not allow this"},
	CodeCheckerRequired:        {403, "CHECKER_REQUIRED", "需由另一人复核", "A second person must approve"},
	CodeBatchNotFound:          {404, "BATCH_NOT_FOUND", "对账批次不存在", "Reconciliation batch not found"},
	CodeDifferenceNotFound:     {404, "DIFFERENCE_NOT_FOUND", "对账差异不存在", "Difference not found"},
	CodeMerchantNotFound:       {404, "MERCHANT_NOT_FOUND", "商户配置不存在", "Merchant account not found"},
	CodeMerchantExists:         {409, "MERCHANT_EXISTS", "该渠道已有启用的商户", "The channel already has an enabled merchant account"},
	CodeCloseBlocked:           {409, "CLOSE_BLOCKED", "存在未处理差异,不能关账", "Unresolved differences block the close"},
	CodeTenantNotFound:         {404, "TENANT_NOT_FOUND", "租户不存在", "Tenant not found"},
	CodeTenantContextMissing:   {401, "TENANT_CONTEXT_MISSING", "缺少租户上下文", "Tenant context is missing"},
	CodeCrossTenantDenied:      {403, "CROSS_TENANT_DENIED", "禁止跨租户访问", "Cross-tenant access denied"},
	CodeTenantDisabled:         {403, "TENANT_DISABLED", "租户已停用", "Tenant is disabled"},
	CodeTenantExpired:          {403, "TENANT_EXPIRED", "租户已过期", "Tenant has expired"},
	CodeQuotaExceeded:          {403, "QUOTA_EXCEEDED", "超出租户配额", "Tenant quota exceeded"},
	CodeTenantCodeExists:       {409, "TENANT_CODE_EXISTS", "租户编码已存在", "Tenant code already exists"},
	CodeTenantNotEmpty:         {409, "TENANT_NOT_EMPTY", "租户下仍有数据,无法删除", "Tenant still has children or data"},
	CodeTenantSelfChange:       {403, "TENANT_SELF_CHANGE", "不能修改本租户的配额、有效期、状态或类型", "A tenant may not change its own quota, expiry, status or type"},
	CodeTenantMoveInvalid:      {400, "TENANT_MOVE_INVALID", "租户不能移动到该位置", "Tenant cannot be moved there"},
	CodeBadCredentials:         {401, "BAD_CREDENTIALS", "账号或密码错误", "Wrong account or password"},
	CodeAccountLocked:          {401, "ACCOUNT_LOCKED", "登录失败次数过多,账号已锁定", "Account is locked after failed sign-ins"},
	CodeTokenExpired:           {401, "TOKEN_EXPIRED", "登录已过期", "Token has expired"},
	CodeAccountDisabled:        {403, "ACCOUNT_DISABLED", "账号已停用", "Account is disabled"},
	CodeRefreshTokenInvalid:    {401, "REFRESH_TOKEN_INVALID", "刷新令牌无效", "Refresh token is not valid"},
	CodeUnauthenticated:        {401, "UNAUTHENTICATED", "未认证", "Not authenticated"},
	CodePasswordPolicy:         {400, "PASSWORD_POLICY", "密码不符合要求", "Password does not meet the policy"},
	CodeOldPasswordWrong:       {400, "OLD_PASSWORD_WRONG", "原密码错误", "Old password is wrong"},
	CodeUserNotFound:           {404, "USER_NOT_FOUND", "用户不存在", "User not found"},
	CodeUserExists:             {409, "USER_EXISTS", "用户名或登录标识已存在", "Username or identifier already exists"},
	CodeLastAdmin:              {409, "LAST_ADMIN", "不能移除租户的最后一个管理员", "The tenant's last administrator cannot be removed"},
	CodePasswordChangeRequired: {403, "PASSWORD_CHANGE_REQUIRED", "请先修改密码", "Password must be changed first"},
	CodeRoleNotFound:           {404, "ROLE_NOT_FOUND", "角色不存在", "Role not found"},
	CodeRoleExists:             {409, "ROLE_EXISTS", "角色编码已存在", "Role code already exists"},
	CodeRoleInUse:              {409, "ROLE_IN_USE", "内置或使用中的角色不能修改或删除", "Built-in or assigned role"},
	CodeAPIKeyNotFound:         {404, "API_KEY_NOT_FOUND", "API 密钥不存在", "API key not found"},
	CodeGrantExceedsOwn:        {403, "GRANT_EXCEEDS_OWN", "不能授予自己没有的权限", "A permission can only be granted by its holder"},
	CodeServiceUnknown:         {404, "SERVICE_UNKNOWN", "服务不存在", "No such service"},
	CodeAlertNotFound:          {404, "ALERT_NOT_FOUND", "告警不存在", "Alert not found"},
	CodeAlertState:             {409, "ALERT_STATE", "告警状态不允许该操作", "Alert state does not allow this"},
	CodeRuleNotFound:           {404, "RULE_NOT_FOUND", "告警规则不存在", "Alert rule not found"},
	CodeChannelNotFound:        {404, "CHANNEL_NOT_FOUND", "通知渠道不存在", "Notification channel not found"},
	CodeWebhookNotFound:        {404, "WEBHOOK_NOT_FOUND", "Webhook 不存在", "Webhook or delivery not found"},
	CodeDeliveryFailed:         {503, "DELIVERY_FAILED", "通知发送失败", "Delivery failed"},
	CodeRuleBuiltIn:            {409, "RULE_BUILT_IN", "内置规则不能删除", "Built-in rules cannot be deleted"},
	CodeValidationFailed:       {400, "VALIDATION_FAILED", "请求参数错误", "Invalid request"},
	CodePermissionDenied:       {403, "PERMISSION_DENIED", "无权限访问", "Permission denied"},
	CodeRouteNotFound:          {404, "ROUTE_NOT_FOUND", "接口不存在", "No such operation"},
	CodeMethodNotAllowed:       {405, "METHOD_NOT_ALLOWED", "请求方法不支持", "Method not allowed"},
	CodeVersionConflict:        {409, "VERSION_CONFLICT", "数据已被修改,请刷新后重试", "The object was changed meanwhile"},
	CodeIdempotencyKeyReused:   {409, "IDEMPOTENCY_KEY_REUSED", "幂等键已用于不同的请求", "Idempotency key was used for another request"},
	CodeIdempotencyInProgress:  {409, "IDEMPOTENCY_IN_PROGRESS", "相同请求正在处理中", "The same request is still in progress"},
	CodeResultTooLarge:         {400, "RESULT_TOO_LARGE", "结果数量超出上限", "Result exceeds the limit"},
	CodeBodyTooLarge:           {413, "BODY_TOO_LARGE", "请求体过大", "Request body too large"},
	CodeCursorInvalid:          {400, "CURSOR_INVALID", "游标无效", "Cursor is not valid for this query"},
	CodeUnsupportedMediaType:   {415, "UNSUPPORTED_MEDIA_TYPE", "不支持的内容类型", "Unsupported media type"},
	CodeRateLimited:            {429, "RATE_LIMITED", "请求过于频繁,请稍后再试", "Too many requests"},
	CodeServiceUnavailable:     {503, "SERVICE_UNAVAILABLE", "服务暂时不可用", "Service unavailable"},
	CodeInternalError:          {500, "INTERNAL_ERROR", "服务器内部错误", "Internal error"},
}
