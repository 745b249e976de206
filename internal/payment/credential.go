package payment

import (
	"encoding/json"
	"fmt"
	"time"
)

// Account is what a merchant account of Alipay or WeChat Pay is at its channel,
// without secrets: the JSON of Merchant.Config.
type Account struct {
	AppID            string `json:"appId"`
	SellerID         string `json:"sellerId,omitempty"`         // Alipay's number of the merchant
	MchID            string `json:"mchId,omitempty"`            // WeChat's number of the merchant
	MerchantSerialNo string `json:"merchantSerialNo,omitempty"` // WeChat's serial of our certificate
}

// Secrets are the keys of an account: the JSON of Merchant.Secrets. They exist
// opened in memory only.
type Secrets struct {
	// PrivateKey signs what we send: RSA, PEM or the bare base64 of PKCS#1 or #8.
	PrivateKey string `json:"privateKey"`
	// APIV3Key decrypts what WeChat sends: 32 bytes.
	APIV3Key string `json:"apiV3Key,omitempty"`
	// AppCertificate and AlipayRoot are what calls of Alipay's certificate mode
	// name; both are empty in the mode of the public key.
	AppCertificate string `json:"appCertificate,omitempty"`
	AlipayRoot     string `json:"alipayRootCertificate,omitempty"`
	// PlatformKeys verify what the channel sends, the newest first: bare keys of
	// Alipay have no serial, its certificates and WeChat's keys are chosen by
	// theirs. Old ones stay until they are taken out, so that a rotation loses no
	// message.
	PlatformKeys []PlatformKey `json:"platformKeys"`
}

// Certified reports whether the account works in Alipay's certificate mode.
func (s *Secrets) Certified() bool { return s.AppCertificate != "" }

// PlatformKey is a public key of a channel, PEM (key or certificate) or the bare
// base64 of PKIX.
type PlatformKey struct {
	Serial    string    `json:"serial,omitempty"`
	PublicKey string    `json:"publicKey"`
	AddedAt   time.Time `json:"addedAt,omitzero"`
}

// Account reads the account's configuration.
func (m Merchant) Account() (Account, error) {
	var a Account
	if err := json.Unmarshal([]byte(m.Config), &a); err != nil {
		return a, fmt.Errorf("read the configuration of merchant account %d: %w", m.ID, err)
	}
	return a, nil
}

// Keys reads the account's opened secrets. The error never quotes them.
func (m Merchant) Keys() (Secrets, error) {
	var s Secrets
	if json.Unmarshal(m.Secrets, &s) != nil {
		return s, fmt.Errorf("the secrets of merchant account %d cannot be read", m.ID)
	}
	return s, nil
}
