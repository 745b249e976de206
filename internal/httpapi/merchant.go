package httpapi

import (
	"context"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// MerchantReader reads merchant accounts; store.Payments satisfies it.
type MerchantReader interface {
	Merchant(ctx context.Context, scope evcs.Scope, id payment.MerchantID) (payment.Merchant, error)
	MerchantPage(ctx context.Context, scope evcs.Scope, channels []string, r evcs.PageRequest) (evcs.Page[payment.Merchant], error)
}

// Merchants are the operations of merchant accounts.
type Merchants struct {
	Read  MerchantReader
	Write cashier.Accounts

	s *Server
}

// MerchantPath names a merchant account.
type MerchantPath struct {
	MerchantID payment.MerchantID `path:"merchantId"`
}

type merchantFilter struct {
	Paging
	Channel []string `query:"channel" maxItems:"3" enum:"alipay,wechat,sandbox"`
}

type updateMerchant struct {
	MerchantPath
	Body api.UpdateMerchant
}

type deleteMerchant struct {
	MerchantPath
	Precondition
}

func (p Merchants) register(s *Server) {
	p.s = s
	op := func(id, method, rest, summary string, errs ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/payment/merchant" + rest, Group: "payment", Permission: "payment:merchant", Summary: summary, Errors: errs,
		}
	}
	list := op("listMerchants", http.MethodGet, "", "Merchant accounts, without their secrets")
	list.Sorts = []string{"merchantId", "createTime", "name"}
	list.Aliases = []string{"/api/payment/merchant/page"}
	registerPages(s, list, p.list)
	create := op("createMerchant", http.MethodPost, "", "Create a merchant account", evcs.CodeMerchantExists, evcs.CodeTenantNotFound)
	create.Said, create.Secret, create.ReadOnly = created, true, []any{api.Merchant{}}
	create.Description = "Secrets are encrypted one by one and are never shown again, only a fingerprint: of a key pair that of its public half. " +
		"One account of a channel is enabled for new payments; older ones stay for their refunds. " +
		"An account of mode SANDBOX, the channel's own sandbox, takes payments only while the tenant's setting sandboxPayments is on; the mode is fixed."
	register(s, create, p.create)
	register(s, op("getMerchant", http.MethodGet, "/{merchantId}", "One merchant account", evcs.CodeMerchantNotFound), p.get)
	update := op("updateMerchant", http.MethodPut, "/{merchantId}", "Change a merchant account, or rotate its keys", evcs.CodeMerchantNotFound, evcs.CodeMerchantExists)
	update.Secret, update.ReadOnly = true, []any{api.Merchant{}}
	update.Description = "Keys that are not given stay. platformKeys are all keys that verify: give the new one beside the old while the channel changes over; one with its serial alone stays as it is stored. " +
		"A replaced alipayPublicKey verifies for 7 more days, or no more at once with dropOldKeys. " +
		"appCertificate, alipayRootCertificate and alipayCertificates have an account of Alipay work with certificates, appCertificate null with the public key again; what verified before does so for 7 more days. " +
		"Certificates of Alipay are chosen by their serial number and join the stored ones; one that is not known is asked for at Alipay, checked against the root and kept. " +
		"A change of keys is audited and raises the alert MerchantKeyChanged. " +
		"appId and mchId are fixed once payments ran over the account."
	register(s, update, p.update)
	register(s, op("deleteMerchant", http.MethodDelete, "/{merchantId}", "Delete a merchant account and forget its keys", evcs.CodeMerchantNotFound, evcs.CodePaymentState), p.remove)
	verify := op("verifyMerchant", http.MethodPost, "/{merchantId}/verify", "Try a merchant account: its keys, and a signed question to the channel",
		evcs.CodeMerchantNotFound, evcs.CodePaymentTimeout)
	verify.NoReplay = true
	verify.Description = "A check that fails is told in checks; nobody answering at the channel is 4002."
	register(s, verify, p.verify)
}

func (p Merchants) list(ctx context.Context, a *evcs.Actor, in *merchantFilter, page evcs.PageRequest) (evcs.Page[api.Merchant], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Merchant]{}, err
	}
	found, err := p.Read.MerchantPage(ctx, scope, in.Channel, page)
	if err != nil {
		return evcs.Page[api.Merchant]{}, err
	}
	return pageOf(found, p.merchantJSON), nil
}

func (p Merchants) find(ctx context.Context, a *evcs.Actor, id payment.MerchantID, needed evcs.Permission) (payment.Merchant, error) {
	m, err := p.Read.Merchant(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return m, err
	}
	return m, p.s.reach(ctx, a, m.Tenant, needed)
}

func (p Merchants) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateMerchant }) (*api.Merchant, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	m, err := p.Write.Create(ctx, a, owner, payment.MerchantChange{
		Channel: b.Channel, Name: &b.Name, Mode: b.Mode, AppID: &b.AppID, SellerID: b.SellerID, MchID: b.MchID, MerchantSerialNo: b.MerchantSerialNo,
		FeeRate: (*evcs.UnitPrice)(b.FeeRate), Enabled: boolOfFlag(b.Status), PrivateKey: &b.PrivateKey, AlipayPublicKey: b.AlipayPublicKey,
		AppCertificate: b.AppCertificate, AlipayRoot: b.AlipayRootCertificate, AlipayCertificates: orZero(b.AlipayCertificates),
		APIV3Key: b.APIV3Key, PlatformKeys: platformKeys(b.PlatformKeys),
	})
	if err != nil {
		return nil, err
	}
	return api.Ptr(p.merchantJSON(m)), nil
}

func (p Merchants) get(ctx context.Context, a *evcs.Actor, in *MerchantPath) (*api.Merchant, error) {
	m, err := p.find(ctx, a, in.MerchantID, readDescendants)
	if err != nil {
		return nil, err
	}
	return api.Ptr(p.merchantJSON(m)), nil
}

func (p Merchants) update(ctx context.Context, a *evcs.Actor, in *updateMerchant) (*api.Merchant, error) {
	b := in.Body
	found, err := p.find(ctx, a, in.MerchantID, writeDescendants)
	if err != nil {
		return nil, err
	}
	n := payment.MerchantChange{
		Channel: orZero(b.Channel), Name: b.Name, Mode: b.Mode, AppID: b.AppID, SellerID: b.SellerID.Ptr(), MchID: b.MchID.Ptr(), MerchantSerialNo: b.MerchantSerialNo.Ptr(),
		FeeRate: (*evcs.UnitPrice)(b.FeeRate), Enabled: boolOfFlag(b.Status), PrivateKey: b.PrivateKey, AlipayPublicKey: b.AlipayPublicKey,
		AppCertificate: b.AppCertificate.Ptr(), AlipayRoot: b.AlipayRootCertificate, AlipayCertificates: orZero(b.AlipayCertificates),
		APIV3Key: b.APIV3Key, PlatformKeys: platformKeys(b.PlatformKeys), DropOldKeys: bool(orZero(b.DropOldKeys)), Version: b.Version,
	}
	if b.SellerID.Null && found.Channel == payment.ChannelAlipay {
		n.SellerID = new(string)
	}
	if b.AppCertificate.Null && found.Channel == payment.ChannelAlipay {
		n.AppCertificate = new(string)
	}
	m, err := p.Write.Change(ctx, a, found.Tenant, in.MerchantID, n)
	if err != nil {
		return nil, err
	}
	return api.Ptr(p.merchantJSON(m)), nil
}

func (p Merchants) remove(ctx context.Context, a *evcs.Actor, in *deleteMerchant) (*Null, error) {
	version, err := in.Version()
	if err != nil {
		return nil, err
	}
	found, err := p.find(ctx, a, in.MerchantID, writeDescendants)
	if err != nil {
		return nil, err
	}
	return nil, p.Write.Delete(ctx, a, found.Tenant, in.MerchantID, version)
}

func (p Merchants) verify(ctx context.Context, a *evcs.Actor, in *MerchantPath) (*api.MerchantTrial, error) {
	found, err := p.find(ctx, a, in.MerchantID, writeDescendants)
	if err != nil {
		return nil, err
	}
	checks, err := p.Write.Verify(ctx, found.Tenant, in.MerchantID)
	if err != nil {
		return nil, err
	}
	x := exchangeOf(ctx)
	out := api.MerchantTrial{OK: true, Checks: listOf(checks, func(c payment.Check) api.MerchantCheck {
		text := c.Message.ZH
		if x.english {
			text = c.Message.EN
		}
		return api.MerchantCheck{Name: c.Name, OK: c.OK, Message: text}
	})}
	for _, c := range checks {
		out.OK = out.OK && c.OK
	}
	return &out, nil
}

func platformKeys(given *[]api.PlatformKey) *[]payment.PlatformKey {
	if given == nil {
		return nil
	}
	list := listOf(*given, func(k api.PlatformKey) payment.PlatformKey {
		return payment.PlatformKey{Serial: k.Serial, PublicKey: orZero(k.PublicKey)}
	})
	return &list
}

func (p Merchants) merchantJSON(m payment.Merchant) api.Merchant {
	account, _ := m.Account() // our own text; of the sandbox it names nothing
	out := api.Merchant{
		MerchantID: int64(m.ID), TenantID: int64(m.Tenant), Channel: m.Channel, Name: m.Name, Mode: m.Mode, AppID: textOrNil(account.AppID),
		SellerID: textOrNil(account.SellerID), MchID: textOrNil(account.MchID), MerchantSerialNo: textOrNil(account.MerchantSerialNo),
		FeeRate: api.Price(m.FeeRate), Status: api.Flag(m.Enabled), CallbackURL: textOrNil(p.Write.CallbackURL(&m)), KeyMode: textOrNil(m.KeyMode()), Secrets: make(map[string]api.MerchantSecret),
		CertificateExpireTime: api.AtOrNil(m.CertificateExpires()), CreateTime: api.At(m.CreatedAt), Version: m.Version,
	}
	for _, s := range m.SecretNotes() {
		out.Secrets[s.Name] = api.MerchantSecret{
			Set: true, Fingerprint: textOrNil(s.Fingerprint), UpdatedTime: api.AtOrNil(s.UpdatedAt), ExpireTime: api.AtOrNil(s.ExpireAt),
		}
	}
	return out
}
