package paygate

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const keyBits = 2048

// Keys are what a gateway and its two merchants are made of.
type Keys struct {
	AppID, SellerID          string // alipay
	MchID, WechatAppID       string
	merchantSerial           string
	apiV3Key                 string
	publicKeyID              string // of the platform key
	certificateSerial        string
	certificate              []byte // of the platform, DER
	foreign                  *rsa.PrivateKey
	aliMerchant, aliPlatform *rsa.PrivateKey
	wxMerchant, wxPlatform   *rsa.PrivateKey
	wxCertificate            *rsa.PrivateKey
	authority                *authority
}

// file is the form in which keys are kept.
type file struct {
	AppID             string            `json:"appId"`
	SellerID          string            `json:"sellerId"`
	MchID             string            `json:"mchId"`
	WechatAppID       string            `json:"wechatAppId"`
	MerchantSerial    string            `json:"merchantSerialNo"`
	APIV3Key          string            `json:"apiV3Key"`
	PublicKeyID       string            `json:"publicKeyId"`
	CertificateSerial string            `json:"certificateSerial"`
	Certificate       []byte            `json:"certificate"`
	Private           map[string][]byte `json:"private"`
	Authority         *authorityFile    `json:"authority"` // absent in files of before certificates
}

// NewKeys makes new keys. It takes a second or so.
func NewKeys(now time.Time) (*Keys, error) {
	k := &Keys{AppID: digits(16, "2021"), SellerID: digits(16, "2088"), MchID: digits(10, "16"), WechatAppID: "wx" + token()[:16]}
	for _, place := range k.private() {
		made, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		*place.key = made
	}
	k.merchantSerial = strings.ToUpper(token() + token()[:8])
	k.apiV3Key = token()
	k.publicKeyID = "PUB_KEY_ID_" + digits(22, "01"+k.MchID)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 159))
	if err != nil {
		return nil, fmt.Errorf("make a serial: %w", err)
	}
	made := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "paygate platform"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if k.certificate, err = x509.CreateCertificate(rand.Reader, made, made, &k.wxCertificate.PublicKey, k.wxCertificate); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	k.certificateSerial = strings.ToUpper(hex.EncodeToString(serial.Bytes()))
	k.authority, err = newAuthority(k, now)
	return k, err
}

type named struct {
	name string
	key  **rsa.PrivateKey
}

func (k *Keys) private() []named {
	return []named{
		{"alipayMerchant", &k.aliMerchant},
		{"alipayPlatform", &k.aliPlatform},
		{"wechatMerchant", &k.wxMerchant},
		{"wechatPlatform", &k.wxPlatform},
		{"wechatCertificate", &k.wxCertificate},
		{"foreign", &k.foreign},
	}
}

// digits is a number of n digits that begins with prefix.
func digits(n int, prefix string) string {
	for len(prefix) < n {
		d, err := rand.Int(rand.Reader, big.NewInt(10))
		if err != nil {
			d = big.NewInt(7)
		}
		prefix += d.String()
	}
	return prefix
}

// The files of a directory of keys.
const (
	keysFile          = "gateway.json"
	alipayMerchant    = "alipay-merchant.json"
	certifiedMerchant = "alipay-certificate-merchant.json"
	wechatMerchant    = "wechat-merchant.json"
)

// OpenKeys reads the keys of a directory, or makes them there: keysFile with
// everything, a file for each merchant account as `evcsctl merchant create
// --file` takes it, and the certificates of Alipay. All are readable by their
// owner only.
func OpenKeys(dir string, now time.Time) (*Keys, error) {
	text, err := os.ReadFile(filepath.Join(dir, keysFile))
	var k *Keys
	switch {
	case err == nil:
		if k, err = readKeys(text); err != nil || k.authority != nil {
			return k, err
		}
		k.authority, err = newAuthority(k, now)
	case errors.Is(err, fs.ErrNotExist):
		k, err = NewKeys(now)
	default:
		return nil, fmt.Errorf("read the gateway's keys: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return k, k.write(dir)
}

// write keeps the keys in a directory; keysFile is the last.
func (k *Keys) write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the keys: %w", err)
	}
	files := k.Certificates()
	for name, made := range map[string]func() ([]byte, error){
		alipayMerchant: func() ([]byte, error) { return k.Merchant(Alipay) }, wechatMerchant: func() ([]byte, error) { return k.Merchant(Wechat) },
		certifiedMerchant: k.CertifiedMerchant, keysFile: k.text,
	} {
		text, err := made()
		if err != nil {
			return err
		}
		files[name] = append(text, '\n')
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool { return name == keysFile })
	for _, name := range append(names, keysFile) {
		if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
			return fmt.Errorf("keep the gateway's keys: %w", err)
		}
	}
	return nil
}

func (k *Keys) text() ([]byte, error) {
	f := file{
		k.AppID, k.SellerID, k.MchID, k.WechatAppID, k.merchantSerial, k.apiV3Key, k.publicKeyID, k.certificateSerial, k.certificate, make(map[string][]byte),
		k.authority.file(),
	}
	for _, p := range k.private() {
		f.Private[p.name] = x509.MarshalPKCS1PrivateKey(*p.key)
	}
	return json.MarshalIndent(f, "", "  ")
}

func readKeys(text []byte) (*Keys, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, errors.New("the gateway's keys cannot be read: " + keysFile + " is damaged")
	}
	k := &Keys{
		AppID: f.AppID, SellerID: f.SellerID, MchID: f.MchID, WechatAppID: f.WechatAppID, merchantSerial: f.MerchantSerial, apiV3Key: f.APIV3Key,
		publicKeyID: f.PublicKeyID, certificateSerial: f.CertificateSerial, certificate: f.Certificate,
	}
	for _, p := range k.private() {
		key, err := x509.ParsePKCS1PrivateKey(f.Private[p.name])
		if err != nil {
			return nil, errors.New("the gateway's keys cannot be read: " + p.name + " is missing")
		}
		*p.key = key
	}
	if f.Authority == nil {
		return k, nil
	}
	var err error
	k.authority, err = f.Authority.read()
	return k, err
}

// Merchant is a merchant account as the operation that creates one takes it.
func (k *Keys) Merchant(c Channel) ([]byte, error) {
	account := map[string]any{"channel": string(c), "mode": "SANDBOX", "status": 1}
	if c == Alipay {
		account["name"], account["appId"], account["sellerId"] = "Local gateway Alipay", k.AppID, k.SellerID
		account["privateKey"] = base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(k.aliMerchant))
		public, err := public(&k.aliPlatform.PublicKey)
		if err != nil {
			return nil, err
		}
		account["alipayPublicKey"] = base64.StdEncoding.EncodeToString(public)
		return json.MarshalIndent(account, "", "  ")
	}
	private, err := x509.MarshalPKCS8PrivateKey(k.wxMerchant)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	platform, err := public(&k.wxPlatform.PublicKey)
	if err != nil {
		return nil, err
	}
	account["name"], account["appId"], account["mchId"], account["merchantSerialNo"] = "Local gateway WeChat Pay", k.WechatAppID, k.MchID, k.merchantSerial
	account["privateKey"] = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	account["apiV3Key"] = k.apiV3Key
	account["platformKeys"] = []map[string]string{
		{"serial": k.publicKeyID, "publicKey": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: platform}))},
		{"serial": k.certificateSerial, "publicKey": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.certificate}))},
	}
	return json.MarshalIndent(account, "", "  ")
}

func public(key *rsa.PublicKey) ([]byte, error) {
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("write a key: %w", err)
	}
	return raw, nil
}

// sign is the signature of both channels: RSA, PKCS#1 v1.5, SHA-256, base64.
func sign(key *rsa.PrivateKey, text string) string {
	sum := sha256.Sum256([]byte(text))
	raw, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return ""
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func verifies(key *rsa.PublicKey, text, signature string) bool {
	raw, err := base64.StdEncoding.DecodeString(signature)
	sum := sha256.Sum256([]byte(text))
	return err == nil && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) == nil
}

// seal encrypts with the apiV3Key.
func (k *Keys) seal(plain []byte, additional string) (map[string]string, error) {
	block, err := aes.NewCipher([]byte(k.apiV3Key))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	nonce := token()[:12]
	return map[string]string{
		"algorithm": "AEAD_AES_256_GCM", "nonce": nonce, "associated_data": additional,
		"ciphertext": base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte(nonce), plain, []byte(additional))),
	}, nil
}
