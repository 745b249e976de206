package api

// Merchant is a tenant's account at a payment channel. Its secrets are written
// and never read.
type Merchant struct {
	MerchantID            int64                     `json:"merchantId"`
	TenantID              int64                     `json:"tenantId"`
	Channel               string                    `json:"channel" enum:"alipay,wechat,sandbox"`
	Name                  string                    `json:"name"`
	Mode                  string                    `json:"mode" enum:"LIVE,SANDBOX"`
	AppID                 *string                   `json:"appId"`
	SellerID              *string                   `json:"sellerId"`
	MchID                 *string                   `json:"mchId"`
	MerchantSerialNo      *string                   `json:"merchantSerialNo"`
	FeeRate               Price                     `json:"feeRate"`
	Status                Flag                      `json:"status"`
	CallbackURL           *string                   `json:"callbackUrl" doc:"What the channel notifies; null while payment.callbackBase is not set"`
	KeyMode               *string                   `json:"keyMode" enum:"PUBLIC_KEY,CERTIFICATE" doc:"alipay: how the two sides prove themselves to each other; null for other channels"`
	Secrets               map[string]MerchantSecret `json:"secrets" doc:"By name; keys of WeChat one by one as platformKeys/<serial> and together, certificates of Alipay as alipayCertificates/<serial>, replaced keys of Alipay as alipayPublicKey/<number>"`
	CertificateExpireTime *Time                     `json:"certificateExpireTime" doc:"When the first of the account's certificates ends, of Alipay's own the newest; null for bare keys"`
	CreateTime            Time                      `json:"createTime"`
	Version               int64                     `json:"version"`
}

// MerchantSecret is what is told of a secret of a merchant account: never the
// secret.
type MerchantSecret struct {
	Set         bool    `json:"set"`
	Fingerprint *string `json:"fingerprint"`
	UpdatedTime *Time   `json:"updatedTime"`
	ExpireTime  *Time   `json:"expireTime" doc:"Of a certificate"`
}

// PlatformKey is a key that verifies what WeChat Pay sends.
type PlatformKey struct {
	Serial    string  `json:"serial" minLength:"1" maxLength:"64" doc:"PUB_KEY_ID_… or the serial of a platform certificate"`
	PublicKey *string `json:"publicKey,omitempty" maxLength:"16384" doc:"PEM of a public key or certificate; absent: the stored one of this serial stays"`
}

// CreateMerchant is the body of POST /api/payment/merchant.
type CreateMerchant struct {
	TenantID              *int64         `json:"tenantId,omitempty" doc:"Self or a descendant; default: the principal's own" minimum:"1"`
	Channel               string         `json:"channel" enum:"alipay,wechat"`
	Name                  string         `json:"name" minLength:"1" maxLength:"64"`
	Mode                  *string        `json:"mode,omitempty" enum:"LIVE,SANDBOX" doc:"LIVE when absent; SANDBOX is the channel's own sandbox"`
	AppID                 string         `json:"appId" minLength:"1" maxLength:"32"`
	FeeRate               *Price         `json:"feeRate,omitempty" minimum:"0" maximum:"1" doc:"0.0060 when absent"`
	Status                *Flag          `json:"status,omitempty" doc:"0 when absent"`
	SellerID              *string        `json:"sellerId,omitempty" maxLength:"32" doc:"alipay"`
	PrivateKey            string         `json:"privateKey" minLength:"1" maxLength:"16384" doc:"RSA of at least 2048 bits: PEM, or the base64 of PKCS#1 or PKCS#8"`
	AlipayPublicKey       *string        `json:"alipayPublicKey,omitempty" maxLength:"16384" doc:"alipay, required without certificates: PEM, or base64"`
	AppCertificate        *string        `json:"appCertificate,omitempty" minLength:"1" maxLength:"16384" doc:"alipay, certificate mode: appCertPublicKey.crt, of the private key"`
	AlipayRootCertificate *string        `json:"alipayRootCertificate,omitempty" minLength:"1" maxLength:"16384" doc:"alipay, required with appCertificate: alipayRootCert.crt"`
	AlipayCertificates    *[]string      `json:"alipayCertificates,omitempty" minItems:"1" maxItems:"10" doc:"alipay, required with appCertificate: alipayCertPublicKey_RSA2.crt, each from the root"`
	MchID                 *string        `json:"mchId,omitempty" maxLength:"32" doc:"wechat, required"`
	MerchantSerialNo      *string        `json:"merchantSerialNo,omitempty" maxLength:"64" doc:"wechat, required: serial of our API certificate"`
	APIV3Key              *string        `json:"apiV3Key,omitempty" maxLength:"64" doc:"wechat, required: 32 bytes"`
	PlatformKeys          *[]PlatformKey `json:"platformKeys,omitempty" maxItems:"10" doc:"wechat, required"`
}

// UpdateMerchant is the body of PUT /api/payment/merchant/{merchantId}.
type UpdateMerchant struct {
	Channel               *string          `json:"channel,omitempty" enum:"alipay,wechat,sandbox" doc:"Fixed"`
	Name                  *string          `json:"name,omitempty" minLength:"1" maxLength:"64"`
	Mode                  *string          `json:"mode,omitempty" enum:"LIVE,SANDBOX" doc:"Fixed"`
	AppID                 *string          `json:"appId,omitempty" minLength:"1" maxLength:"32"`
	FeeRate               *Price           `json:"feeRate,omitempty" minimum:"0" maximum:"1"`
	Status                *Flag            `json:"status,omitempty"`
	SellerID              Optional[string] `json:"sellerId,omitzero" maxLength:"32" doc:"alipay; null clears"`
	PrivateKey            *string          `json:"privateKey,omitempty" minLength:"1" maxLength:"16384"`
	AlipayPublicKey       *string          `json:"alipayPublicKey,omitempty" minLength:"1" maxLength:"16384"`
	AppCertificate        Optional[string] `json:"appCertificate,omitzero" maxLength:"16384" doc:"alipay; makes the account work with certificates, null has it go back to alipayPublicKey"`
	AlipayRootCertificate *string          `json:"alipayRootCertificate,omitempty" minLength:"1" maxLength:"16384" doc:"alipay: alipayRootCert.crt"`
	AlipayCertificates    *[]string        `json:"alipayCertificates,omitempty" minItems:"1" maxItems:"10" doc:"alipay: certificates that join the stored ones"`
	DropOldKeys           *Flag            `json:"dropOldKeys,omitempty" doc:"alipay; 1: replaced keys verify no more at once, certificates of Alipay but the given ones neither"`
	MchID                 Optional[string] `json:"mchId,omitzero" maxLength:"32"`
	MerchantSerialNo      Optional[string] `json:"merchantSerialNo,omitzero" maxLength:"64"`
	APIV3Key              *string          `json:"apiV3Key,omitempty" maxLength:"64"`
	PlatformKeys          *[]PlatformKey   `json:"platformKeys,omitempty" maxItems:"10"`
	Version               *int64           `json:"version,omitempty" minimum:"0"`
}

// MerchantTrial is what trying a merchant account found.
type MerchantTrial struct {
	OK     bool            `json:"ok"`
	Checks []MerchantCheck `json:"checks"`
}

// MerchantCheck is one thing that was tried.
type MerchantCheck struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Message string `json:"message"`
}

// ApproveRefund is the body of POST /api/payment/refund/{refundNo}/approve.
type ApproveRefund struct {
	Note *string `json:"note,omitempty" maxLength:"200"`
}

// RejectRefund is the body of POST /api/payment/refund/{refundNo}/reject.
type RejectRefund struct {
	Reason string `json:"reason" minLength:"1" maxLength:"200"`
}
