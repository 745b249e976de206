package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/evcs/evcs/internal/alipay"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/wechatpay"
)

// realChannels are the channels whose money is real, unless the settings lead
// to a gateway on this machine.
func (d *Daemon) realChannels(p *parts) (map[string]payment.Channel, error) {
	cfg := d.opt.Config
	p.guards = make(map[string]*outbound.Guard)
	open, err := config.Prefixes(cfg.Outbound.AllowCIDR)
	if err != nil {
		return nil, fmt.Errorf("outbound.allowCidr: %w", err)
	}
	guard := func(name, gateway string, hosts []string) (*outbound.Guard, error) {
		to, err := outbound.ParseGateway(gateway)
		if err != nil {
			return nil, fmt.Errorf("payment.%s.gateway: %w", name, err)
		}
		g := outbound.New(outbound.Config{Hosts: hosts, Gateway: to, Open: open, Log: d.log(health.Payment, name)})
		p.guards[name] = g
		return g, nil
	}
	ali, err := guard(payment.ChannelAlipay, cfg.Payment.Alipay.Gateway, alipay.Hosts())
	if err != nil {
		return nil, err
	}
	wechat, err := guard(payment.ChannelWechat, cfg.Payment.Wechat.Gateway, wechatpay.Hosts())
	if err != nil {
		return nil, err
	}
	return map[string]payment.Channel{
		payment.ChannelAlipay: alipay.New(alipay.Config{Guard: ali, Now: d.opt.Clock.Now, Keep: func(ctx context.Context, m payment.Merchant, certificate, sn string) error {
			return cashier.Accounts{Till: p.till}.Learn(ctx, m.Tenant, m.ID, certificate, sn)
		}}),
		payment.ChannelWechat: wechatpay.New(wechatpay.Config{Clock: d.opt.Clock, Guard: wechat, CallbackBase: cfg.Payment.CallbackBase}),
	}, nil
}

// channelsAnswer reports a channel that did not answer when it was asked for
// something, and looks into the books of the pretended bank when there is one.
func channelsAnswer(p *parts) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, name := range slices.Sorted(maps.Keys(p.guards)) {
			if why := p.guards[name].Trouble(); why != "" {
				return health.Reason(name + ": " + why)
			}
		}
		if p.bank == nil {
			return nil
		}
		return books(p.bank)(ctx)
	}
}

// The statements and the trial of an account are asked for by these names.
var (
	_ payment.FundChannel = (*alipay.Channel)(nil)
	_ payment.FundChannel = (*wechatpay.Channel)(nil)
	_ payment.Checker     = (*alipay.Channel)(nil)
	_ payment.Checker     = (*wechatpay.Channel)(nil)
)
