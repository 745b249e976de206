package wechatpay

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/wechatpay-apiv3/wechatpay-go/core"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/signers"
	"github.com/wechatpay-apiv3/wechatpay-go/core/auth/validators"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
)

const host = "api.mch.weixin.qq.com"

// Hosts are the hosts of WeChat Pay: its API, where statements lie too.
func Hosts() []string { return []string{host, "api2.mch.weixin.qq.com"} }

// Config is what a Channel is made of.
type Config struct {
	Clock evcs.Clock
	Guard *outbound.Guard // of Hosts
	// CallbackBase is the public address of evcsd; refunds are notified below it.
	CallbackBase string
}

// Channel is WeChat Pay. It implements payment.Channel and is safe for
// concurrent use.
type Channel struct {
	cfg    Config
	opened payment.Opened[*account]
}

// New makes the channel.
func New(c Config) *Channel {
	return &Channel{cfg: c}
}

// account is a merchant account that is ready to be used.
type account struct {
	id     payment.Account
	apiKey []byte
	keys   *keyring
	proof  strict       // of replies
	client *core.Client // verifies every reply
	bills  *core.Client // of downloads, whose replies carry no signature
}

var errAccount = errors.New("the merchant account of WeChat Pay cannot be used")

// account opens an account, or finds it opened. The error says nothing of the
// keys.
func (c *Channel) account(m payment.Merchant) (*account, error) { return c.opened.Get(m, c.build) }

func (c *Channel) build(m payment.Merchant) (*account, error) {
	id, err := m.Account()
	if err != nil {
		return nil, err
	}
	secrets, err := m.Keys()
	if err != nil {
		return nil, err
	}
	if len(secrets.APIV3Key) != apiKeyBytes {
		return nil, fmt.Errorf("%w: the apiV3Key has not 32 bytes", errAccount)
	}
	a := &account{id: id, apiKey: []byte(secrets.APIV3Key), keys: &keyring{bySerial: make(map[string]*rsa.PublicKey)}}
	for _, k := range secrets.PlatformKeys {
		key, _, err := payment.ParsePublicKey(k.PublicKey)
		if err != nil || k.Serial == "" {
			return nil, fmt.Errorf("%w: a platform key cannot be read", errAccount)
		}
		if a.keys.newest == "" {
			a.keys.newest = k.Serial
		}
		a.keys.bySerial[k.Serial] = key
	}
	private, err := payment.ParsePrivateKey(secrets.PrivateKey)
	if err != nil {
		return nil, errors.Join(errAccount, err)
	}
	a.proof = strict{validators.NewWechatPayResponseValidator(a.keys)}
	settings := core.DialSettings{
		HTTPClient: c.cfg.Guard.Client(),
		Signer:     &signers.SHA256WithRSASigner{MchID: id.MchID, CertificateSerialNo: id.MerchantSerialNo, PrivateKey: private},
		Validator:  a.proof,
	}
	unproven := settings
	unproven.HTTPClient, unproven.Validator = c.cfg.Guard.Bulk(maxStatement, statementPatience), &validators.NullValidator{}
	var errAPI, errBills error
	a.client, errAPI = core.NewClientWithDialSettings(context.Background(), &settings)  //nolint:forbidigo // the library keeps no context of it and asks nobody
	a.bills, errBills = core.NewClientWithDialSettings(context.Background(), &unproven) //nolint:forbidigo // as above
	if errAPI != nil || errBills != nil {
		return nil, errAccount
	}
	return a, nil
}

// reach is account for a call to the channel. WeChat Pay has no sandbox for API
// v3: an account of mode SANDBOX is for a gateway on this machine, an account
// of real money never goes to one.
func (c *Channel) reach(m payment.Merchant) (*account, error) {
	why := evcs.Detail{}
	switch loopback := c.cfg.Guard.Loopback(); {
	case m.Mode == payment.Live && loopback:
		why = evcs.Detail{ZH: "微信支付网关指向本机, 真实账户不可用", EN: "the gateway of WeChat Pay is on this machine; an account of mode LIVE is not used with it"}
	case m.Mode != payment.Live && !loopback:
		why = evcs.Detail{ZH: "微信支付没有沙箱, SANDBOX 账户只用于本机网关", EN: "WeChat Pay has no sandbox; an account of mode SANDBOX is for a gateway on this machine"}
	}
	if why != (evcs.Detail{}) {
		return nil, evcs.WithDetail(payment.ErrNotConfigured, why, map[string]any{"channel": payment.ChannelWechat})
	}
	return c.account(m)
}

// keyring are the keys that verify what WeChat Pay sends, by serial: its public
// key (PUB_KEY_ID_…) and platform certificates side by side. It implements the
// library's auth.Verifier.
type keyring struct {
	bySerial map[string]*rsa.PublicKey
	newest   string
}

var errUnknown = errors.New("no key of the account verifies the signature")

// Verify checks a signature with the key of the serial.
func (k *keyring) Verify(_ context.Context, serial, message, signature string) error {
	key := k.bySerial[serial]
	raw, err := base64.StdEncoding.DecodeString(signature)
	if key == nil || err != nil {
		return errUnknown
	}
	sum := sha256.Sum256([]byte(message))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw) != nil {
		return errUnknown
	}
	return nil
}

// GetSerial is the serial of the key that replies are asked to be signed with.
func (k *keyring) GetSerial(context.Context) (string, error) {
	if k.newest == "" {
		return "", errUnknown
	}
	return k.newest, nil
}

// errUnsigned says that a reply that looks like a success proves nothing.
var errUnsigned = errors.New("the reply's signature does not verify")

// strict hides what the library says of a reply that does not verify, which
// quotes it.
type strict struct{ auth.Validator }

// Validate implements auth.Validator.
func (s strict) Validate(ctx context.Context, r *http.Response) error {
	if s.Validator.Validate(ctx, r) != nil {
		return errUnsigned
	}
	return nil
}

// call runs a call of the library. A reply must not be able to stop evcsd.
func (a *account) call(ctx context.Context, what string, fn func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = unknown(what, "the reply cannot be read")
		}
	}()
	err = fn()
	if said, ok := errors.AsType[*core.APIError](err); ok && said.Header.Get("Wechatpay-Signature") != "" {
		// The library does not look at the signature of a failure.
		if a.proof.Validate(ctx, &http.Response{Header: said.Header, Body: io.NopCloser(strings.NewReader(said.Body))}) != nil {
			err = errUnsigned
		}
	}
	return outcome(what, err)
}

// within reads a time of the API, which names its zone; zero when it is none.
func within(text *string) time.Time {
	if text == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, *text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// text is what a reply says, "" when it says nothing.
func text[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}
