package alipay

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/smartwalle/alipay/v3"
	"github.com/smartwalle/nsign"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
)

// The addresses of the gateway; an account of mode SANDBOX uses the second.
const (
	liveGateway    = "https://openapi.alipay.com/gateway.do"
	sandboxGateway = "https://openapi-sandbox.dl.alipaydev.com/gateway.do"
)

// Hosts are the hosts of Alipay: its gateways, and where statements lie.
func Hosts() []string {
	return []string{
		"openapi.alipay.com", "openapi-sandbox.dl.alipaydev.com",
		"dwbillcenter.alipay.com", "dwbillcenter.alipaydev.com", "dwbillcenter-sandbox.dl.alipaydev.com",
	}
}

// Config is what a Channel is made of.
type Config struct {
	Guard *outbound.Guard // of Hosts
	// Now is by what certificates are judged; nil: the machine's clock.
	Now func() time.Time
	// Keep keeps a certificate that Alipay handed out, in PEM, with its account;
	// nil: nobody does.
	Keep func(ctx context.Context, m payment.Merchant, certificate, sn string) error
}

// Channel is Alipay. It implements payment.Channel and is safe for concurrent
// use.
type Channel struct {
	cfg    Config
	opened payment.Opened[*account]
}

// New makes the channel.
func New(c Config) *Channel {
	if c.Now == nil {
		c.Now = evcs.SystemClock{}.Now
	}
	return &Channel{cfg: c}
}

// account is a merchant account that is ready to be used.
type account struct {
	id       payment.Account
	merchant payment.Merchant
	secrets  payment.Secrets
	signer   nsign.Signer
	options  []sdk.OptionFunc
	now      func() time.Time
	keep     func(ctx context.Context, m payment.Merchant, certificate, sn string) error
	learning chan struct{} // full while a certificate is got
	offline  bool          // the account must not go to the gateway, see reach

	mu           sync.Mutex
	made         *sdk.Client      // nil: to be made with the keys of now
	keys         keyring          // all that verify, the newest first
	certificates map[string]dated // by serial number
	missed       map[string]missed
}

// zone is the zone of all of Alipay's times.
var zone = payment.StatementZone()

const timeLayout = "2006-01-02 15:04:05"

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
	a := &account{
		id: id, merchant: m, secrets: secrets, now: c.cfg.Now, keep: c.cfg.Keep, learning: make(chan struct{}, 1),
		certificates: make(map[string]dated), missed: make(map[string]missed), offline: c.misled(m),
	}
	a.merchant.Secrets = nil
	for _, k := range slices.Backward(secrets.PlatformKeys) {
		if err := a.takeKey(k); err != nil {
			return nil, errors.Join(errAccount, err)
		}
	}
	private, err := payment.ParsePrivateKey(secrets.PrivateKey)
	if err != nil {
		return nil, errors.Join(errAccount, err)
	}
	gateway := liveGateway
	if m.Mode != payment.Live {
		gateway = sandboxGateway
	}
	a.signer = nsign.New(nsign.WithMethod(nsign.NewRSAMethod(crypto.SHA256, private, nil)), nsign.WithEncoder(sdk.Encoder{}))
	client := c.cfg.Guard.Client()
	client.Transport = naming{client.Transport}
	a.options = []sdk.OptionFunc{sdk.WithSandboxGateway(gateway), sdk.WithHTTPClient(client), sdk.WithTimeLocation(zone)}
	_, err = a.client()
	return a, err
}

// takeKey takes a key that verifies; it becomes the newest.
func (a *account) takeKey(k payment.PlatformKey) error {
	if k.Serial != "" {
		c, err := payment.ParseCertificate(k.PublicKey)
		if err == nil {
			a.adopt(c)
		}
		return err
	}
	bare, _, err := payment.ParsePublicKey(k.PublicKey)
	if err == nil {
		a.keys = append(keyring{key{bare}}, a.keys...)
	}
	return err
}

var (
	errAccount = errors.New("the merchant account of Alipay cannot be used")
	errUnknown = errors.New("no key of the account verifies the signature")
)

// reach is account for a call to the channel: an account of real money does
// not go to a gateway whose money is not real.
func (c *Channel) reach(m payment.Merchant) (*account, error) {
	if c.misled(m) {
		return nil, evcs.WithDetail(payment.ErrNotConfigured, evcs.Detail{
			ZH: "支付宝网关指向本机, 真实账户不可用", EN: "the gateway of Alipay is on this machine; an account of mode LIVE is not used with it",
		}, map[string]any{"channel": payment.ChannelAlipay})
	}
	return c.account(m)
}

// misled reports whether calls of the account would go to a gateway whose money
// is not real although the account's is.
func (c *Channel) misled(m payment.Merchant) bool {
	return m.Mode == payment.Live && c.cfg.Guard.Loopback()
}

// key is a public key of Alipay. It implements the library's Verifier, as do
// dated and keyring.
type key struct{ *rsa.PublicKey }

// VerifyBytes reports whether the key signed data.
func (k key) VerifyBytes(data, signature []byte, _ ...nsign.SignOption) error {
	sum := sha256.Sum256(data)
	if rsa.VerifyPKCS1v15(k.PublicKey, crypto.SHA256, sum[:], signature) != nil {
		return errUnknown
	}
	return nil
}

// VerifyValues is VerifyBytes over a form as Alipay joins it.
func (k key) VerifyValues(values url.Values, signature []byte, o ...nsign.SignOption) error {
	return k.VerifyBytes([]byte(joined(values)), signature, o...)
}

// keyring are the keys that verify what names no certificate, the newest first.
type keyring []sdk.Verifier

// VerifyBytes reports whether any of the keys signed data.
func (k keyring) VerifyBytes(data, signature []byte, o ...nsign.SignOption) error {
	for _, each := range k {
		if each.VerifyBytes(data, signature, o...) == nil {
			return nil
		}
	}
	return errUnknown
}

// VerifyValues is VerifyBytes over a form as Alipay joins it.
func (k keyring) VerifyValues(values url.Values, signature []byte, o ...nsign.SignOption) error {
	return k.VerifyBytes([]byte(joined(values)), signature, o...)
}

// joined is the text that Alipay signs of a form: everything but the signature,
// by name, decoded, empty values too.
func joined(values url.Values) string {
	names := make([]string, 0, len(values))
	for name := range values {
		if name != "sign" && name != "sign_type" && name != "alipay_cert_sn" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(name + "=" + values.Get(name))
	}
	return b.String()
}

// local reads a time of Alipay, which names no zone; zero when it is none.
func local(text string) time.Time {
	at, err := time.ParseInLocation(timeLayout, text, zone)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// bulk is the client for statements.
func (c *Channel) bulk() *http.Client { return c.cfg.Guard.Bulk(maxStatement, statementPatience) }

// call runs a call of the library. A reply must not be able to stop evcsd.
func call(ctx context.Context, fn func(ctx context.Context) error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.Join(payment.ErrUnknownOutcome, errors.New("the gateway's reply cannot be read"))
		}
	}()
	return fn(ctx)
}
