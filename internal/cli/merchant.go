package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newMerchantGroup(e *env) *cobra.Command {
	show := newShow(e, "<merchant-id>", "Show a merchant account: fingerprints, never secrets", func(c *client.Client) func(context.Context, int64) (api.Merchant, error) {
		return c.Merchants.Get
	})
	show.Aliases = []string{"get"}
	return group(
		"merchant", "Accounts at Alipay and WeChat Pay",
		newList(e, listSpec[api.Merchant]{
			short: "List merchant accounts, without their secrets",
			columns: []column{
				{"merchantId", "ID", "编号", nil},
				{"channel", "CHANNEL", "渠道", nil},
				{"name", "NAME", "名称", nil},
				{"mode", "MODE", "模式", nil},
				{"appId", "APP ID", "应用号", nil},
				{"mchId", "MERCHANT NO", "商户号", nil},
				{"status", "STATUS", "状态", enabled},
				{"feeRate", "FEE RATE", "费率", nil},
				{"keyMode", "KEYS", "密钥模式", nil},
				{"certificateExpireTime", "CERT ENDS", "证书到期", nil},
			},
			filters: []filter{{"channel", "channel", "alipay, wechat, sandbox"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Merchant], error) {
				return c.Merchants.List
			},
		}),
		show,
		newMerchantCreate(e), newMerchantUpdate(e), newMerchantRotate(e), newMerchantVerify(e),
		newDelete(e, "<merchant-id>", "Delete a merchant account and its keys; refused while payments are not final", func(c *client.Client) func(context.Context, int64) error {
			return c.Merchants.Delete
		}),
	)
}

func merchantFlags(create bool) []bodyFlag {
	list := []bodyFlag{
		{"name", "name", "name", false},
		{"app-id", "appId", "application id", false},
		{"seller-id", "sellerId", "Alipay's number of the merchant", false},
		{"mch-id", "mchId", "WeChat's number of the merchant", false},
		{"merchant-serial", "merchantSerialNo", "serial of our API certificate at WeChat", false},
		{"fee-rate", "feeRate", "what the channel keeps, 0.0060 for 0.6 %", false},
		{"status", "status", "0 disabled, 1 enabled", false},
	}
	if create {
		list = append(list, bodyFlag{"channel", "channel", "alipay or wechat", false}, bodyFlag{"mode", "mode", "LIVE or SANDBOX", false})
	}
	return list
}

// keyFiles are secrets by the files that hold them: on a command line everybody
// could read them.
type keyFiles struct {
	private, alipay, v3, app, root string
	platform, certificates         []string
}

// keyPlaces are where the secrets of a body are.
type keyPlaces struct {
	private, alipay, v3, app, root **string
	platform                       **[]api.PlatformKey
	certificates                   **[]string
}

func (k *keyFiles) register(c *cobra.Command) {
	c.Flags().StringVar(&k.private, "private-key-file", "", "file with our RSA private key, - for standard input")
	c.Flags().StringVar(&k.alipay, "alipay-public-key-file", "", "file with the public key of Alipay, - for standard input")
	c.Flags().StringVar(&k.app, "app-cert-file", "", "appCertPublicKey.crt: the account of Alipay works with certificates")
	c.Flags().StringVar(&k.root, "alipay-root-cert-file", "", "alipayRootCert.crt")
	c.Flags().StringArrayVar(&k.certificates, "alipay-cert-file", nil, "alipayCertPublicKey_RSA2.crt, repeatable: joins the stored ones")
	c.Flags().StringVar(&k.v3, "api-v3-key-file", "", "file with the APIv3 key of WeChat Pay, - for standard input")
	c.Flags().StringArrayVar(&k.platform, "platform-key", nil, "SERIAL=FILE of a key or certificate of WeChat Pay, repeatable: all that are to verify; SERIAL alone keeps the stored one")
}

func (k *keyFiles) given() bool {
	return k.private != "" || k.alipay != "" || k.v3 != "" || k.app != "" || k.root != "" || len(k.platform) > 0 || len(k.certificates) > 0
}

// fill reads the files that are named into the places of a body.
func (k *keyFiles) fill(e *env, to keyPlaces) error {
	for _, each := range []struct {
		file  string
		place **string
	}{{k.private, to.private}, {k.alipay, to.alipay}, {k.v3, to.v3}, {k.app, to.app}, {k.root, to.root}} {
		if each.file == "" {
			continue
		}
		content, err := e.slurp(each.file)
		if err != nil {
			return err
		}
		*each.place = api.Ptr(strings.TrimRight(string(content), "\r\n"))
	}
	if len(k.certificates) > 0 {
		list := make([]string, len(k.certificates))
		for i, file := range k.certificates {
			content, err := e.slurp(file)
			if err != nil {
				return err
			}
			list[i] = string(content)
		}
		*to.certificates = &list
	}
	return k.fillPlatform(e, to.platform)
}

func (k *keyFiles) fillPlatform(e *env, platform **[]api.PlatformKey) error {
	if len(k.platform) == 0 {
		return nil
	}
	keys := make([]api.PlatformKey, len(k.platform))
	for i, given := range k.platform {
		serial, file, named := strings.Cut(given, "=")
		keys[i].Serial = serial
		if !named {
			continue
		}
		content, err := e.slurp(file)
		if err != nil {
			return err
		}
		keys[i].PublicKey = api.Ptr(string(content))
	}
	*platform = &keys
	return nil
}

// merchantSecrets are the fields that --set must not carry.
var merchantSecrets = []string{"privateKey", "apiV3Key"}

// noSecrets refuses secrets on the command line.
func noSecrets(b *bodyFlags) error {
	for _, set := range b.sets {
		name, _, _ := strings.Cut(set, "=")
		for _, secret := range merchantSecrets {
			if name == secret {
				return usage("--set %s: a command line is no place for a secret; put it into a file", name)
			}
		}
	}
	return nil
}

func newMerchantCreate(e *env) *cobra.Command {
	var keys keyFiles
	body := &bodyFlags{env: e, flags: merchantFlags(true)}
	c := verb("create", "Create a merchant account; keys come from files", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if err := noSecrets(body); err != nil {
			return err
		}
		request, err := readBody[api.CreateMerchant](body)
		if err != nil {
			return err
		}
		private := &request.PrivateKey
		if err := keys.fill(e, keyPlaces{
			private: &private, alipay: &request.AlipayPublicKey, v3: &request.APIV3Key, app: &request.AppCertificate, root: &request.AlipayRootCertificate,
			platform: &request.PlatformKeys, certificates: &request.AlipayCertificates,
		}); err != nil {
			return err
		}
		request.PrivateKey = *private
		if request.Channel == "" || request.Name == "" || request.AppID == "" || request.PrivateKey == "" {
			return usage("--channel, --name, --app-id and --private-key-file are required, here or in --file")
		}
		if err := e.aimTenant(&request); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Merchant, error) {
			return c.Merchants.Create(ctx, request)
		})
	})
	body.register(c)
	keys.register(c)
	return c
}

func newMerchantUpdate(e *env) *cobra.Command {
	body := &bodyFlags{env: e, flags: merchantFlags(false)}
	c := verb("update <merchant-id>", "Change a merchant account, but not its keys", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if err := noSecrets(body); err != nil {
			return err
		}
		request, err := readBody[api.UpdateMerchant](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Merchant, error) {
			return c.Merchants.Update(ctx, target, request)
		})
	})
	body.register(c)
	return c
}

func newMerchantRotate(e *env) *cobra.Command {
	var keys keyFiles
	var serial string
	var drop, publicKey bool
	c := verb("rotate <merchant-id>", "Put in new keys; old ones verify on where the channel needs it", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if !keys.given() && !drop && !publicKey {
			return usage("name at least one file with a key, or --drop-old")
		}
		var request api.UpdateMerchant
		var app *string
		if err := keys.fill(e, keyPlaces{
			private: &request.PrivateKey, alipay: &request.AlipayPublicKey, v3: &request.APIV3Key, app: &app, root: &request.AlipayRootCertificate,
			platform: &request.PlatformKeys, certificates: &request.AlipayCertificates,
		}); err != nil {
			return err
		}
		switch {
		case app != nil && publicKey:
			return usage("--app-cert-file and --public-key-mode do not go together")
		case app != nil:
			request.AppCertificate = api.Some(*app)
		case publicKey:
			request.AppCertificate = api.Null[string]()
		}
		if serial != "" {
			request.MerchantSerialNo = api.Some(serial)
		}
		if drop {
			request.DropOldKeys = api.Ptr(api.Flag(true))
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Merchant, error) {
			return c.Merchants.Update(ctx, target, request)
		})
	})
	keys.register(c)
	c.Flags().StringVar(&serial, "merchant-serial", "", "serial of the certificate of the new private key at WeChat")
	c.Flags().BoolVar(&publicKey, "public-key-mode", false, "the account of Alipay goes back from certificates to --alipay-public-key-file")
	c.Flags().BoolVar(&drop, "drop-old", false, "replaced keys of Alipay, and its certificates but the newest, verify no more at once")
	return c
}

// errNotUsable says that a check of an account failed.
var errNotUsable = errors.New("the account cannot be used as it is")

func newMerchantVerify(e *env) *cobra.Command {
	return verb("verify <merchant-id>", "Try a merchant account: keys, address, a signed question; exit code 6 when a check fails, 7 when nobody answers",
		cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			target, err := parseID(args[0])
			if err != nil {
				return err
			}
			var seen api.MerchantTrial
			err = readRun(ctx, e, readSpec[api.MerchantCheck]{columns: []column{
				{"name", "CHECK", "检查", nil}, {"ok", "OK", "通过", yesNo}, {"message", "RESULT", "结果", nil},
			}}, func(ctx context.Context, c *client.Client) ([]api.MerchantCheck, error) {
				found, err := c.Merchants.Verify(ctx, target)
				seen = found
				return found.Checks, err
			})
			if err == nil && !seen.OK {
				return &exitError{exitConflict, errNotUsable}
			}
			return err
		})
}

func newRefundApprove(e *env) *cobra.Command {
	var note string
	c := verb("approve <refund-no>", "Agree to a refund that waits; another person than its maker", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Refund, error) {
			return c.Payments.Approve(ctx, args[0], api.ApproveRefund{Note: text(note)})
		})
	})
	c.Flags().StringVar(&note, "note", "", "remark")
	return c
}

func newRefundReject(e *env) *cobra.Command {
	var reason string
	c := verb("reject <refund-no>", "Refuse a refund that waits; the money stays", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if reason == "" {
			return usage("--reason is required")
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Refund, error) {
			return c.Payments.Reject(ctx, args[0], api.RejectRefund{Reason: reason})
		})
	})
	c.Flags().StringVar(&reason, "reason", "", "why (required)")
	return c
}
