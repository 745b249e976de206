package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/client"
)

// The size of the demo.
const (
	chargersPerStation = 7 // 3 stations: 20 chargers, the last station has one less
	totalChargers      = 20
	cloudChargers      = 4 // of them speak signed HTTP, the others OCPP 1.6J

	// A day of charging in a minute: chargers' clocks begin lead ago and run
	// speed times as fast.
	speed = 900
	lead  = 12 * time.Hour
)

// person signs in.
type person struct {
	user, password string
	api            *client.Client
}

// world is what the demo has made.
type world struct {
	daemon   *probe.Daemon
	operator person // administrator of the operator
	checker  person // a second person, who approves
	operID   int64
	childID  int64
	chargers []chargersim.ChargerConfig
	truth    []journal.Session
	result   api.ReconResult
	closed   api.Proof
	report   api.ReconReport
	evcsctl  string
	dir      string
}

// provision makes two levels of operators, three stations, twenty chargers and
// time-of-use prices, all through the public API.
func provision(ctx context.Context, admin *client.Client, d *probe.Daemon, out io.Writer) (*world, error) {
	w := &world{daemon: d}
	if err := w.operators(ctx, admin); err != nil {
		return nil, err
	}
	places := []struct {
		tenant           int64
		code, name, city string
		lat, lon         api.Degree
	}{
		{w.operID, "SZ-FT-01", "福田中心站", "深圳市", 22_5405000, 114_0611000},
		{w.operID, "SZ-NS-01", "南山科技园站", "深圳市", 22_5329000, 113_9441000},
		{w.childID, "SZ-BA-01", "宝安机场站", "深圳市", 22_6329000, 113_8146000},
	}
	for _, tenant := range []int64{w.operID, w.childID} {
		if err := w.plan(ctx, tenant); err != nil {
			return nil, err
		}
	}
	for i, place := range places {
		made, err := w.operator.api.Stations.Create(ctx, api.CreateStation{
			TenantID: &place.tenant, StationCode: place.code, StationName: place.name, Address: place.name + " 1 号", City: &place.city,
			Province: api.Ptr("广东省"), Latitude: &place.lat, Longitude: &place.lon,
		})
		if err != nil {
			return nil, err
		}
		n := min(chargersPerStation, totalChargers-i*chargersPerStation)
		for j := range n {
			if err := w.charger(ctx, place.tenant, made.StationID, fmt.Sprintf("%s-%02d", place.code, j+1)); err != nil {
				return nil, err
			}
		}
	}
	say(out, "through the API: 2 operators (one below the other), %d stations, %d chargers (%d OCPP 1.6J, %d cloudcharge), time-of-use prices",
		len(places), len(w.chargers), totalChargers-cloudChargers, cloudChargers)
	return w, nil
}

// operators makes the operator with two people, and one operator below it.
func (w *world) operators(ctx context.Context, admin *client.Client) error {
	w.operator.user, w.operator.password = "admin@SZ", probe.NewPassword(demoClock)
	made, err := admin.Tenants.Create(ctx, api.CreateTenant{
		TenantCode: "SZ", TenantName: "深圳充电运营", ContactPerson: "李雷", ContactPhone: "13800138000", TenantType: 2,
		Admin: &api.CreateAdmin{Username: "admin", Password: &w.operator.password},
	})
	if err != nil {
		return err
	}
	w.operID = made.TenantID
	if w.operator.api, err = signIn(ctx, w.daemon.BaseURL(), w.operator.user, w.operator.password); err != nil {
		return err
	}
	w.checker.user, w.checker.password = "checker@SZ", probe.NewPassword(demoClock)+"-2"
	if _, err := w.operator.api.Users.Create(ctx, api.CreateUser{Username: "checker", Password: &w.checker.password, Roles: []string{"FINANCE"}}); err != nil {
		return err
	}
	if w.checker.api, err = signIn(ctx, w.daemon.BaseURL(), w.checker.user, w.checker.password); err != nil {
		return err
	}
	child, err := w.operator.api.Tenants.Create(ctx, api.CreateTenant{
		TenantCode: "SZ-BA", TenantName: "宝安分公司", ContactPerson: "韩梅梅", ContactPhone: "13900139000", TenantType: 2,
	})
	if err != nil {
		return err
	}
	w.childID = child.TenantID
	for _, id := range []int64{w.operID, w.childID} {
		if _, err := admin.Tenants.UpdateSettings(ctx, id, api.UpdateSettings{SandboxPayments: api.Some(true), IDTagPolicy: api.Some("ACCEPT_ALL")}); err != nil {
			return err
		}
	}
	return nil
}

// plan makes the prices of an operator.
func (w *world) plan(ctx context.Context, tenant int64) error {
	segment := func(from, to, kind string, energy, service api.Price) api.Segment {
		return api.Segment{StartTime: from, EndTime: to, PeriodKind: kind, EnergyPrice: energy, ServiceFee: service}
	}
	_, err := w.operator.api.Plans.Create(ctx, api.CreatePlan{
		TenantID: &tenant, Name: "分时电价", Code: "TOU", IsDefault: api.Ptr(api.Flag(true)),
		Segments: []api.Segment{
			segment("00:00", "08:00", api.PeriodValley, 32_150, 40_000), segment("08:00", "10:00", api.PeriodFlat, 68_710, 45_000),
			segment("10:00", "12:00", api.PeriodPeak, 105_230, 45_000), segment("12:00", "14:00", api.PeriodFlat, 68_710, 45_000),
			segment("14:00", "19:00", api.PeriodPeak, 105_230, 45_000), segment("19:00", "21:00", api.PeriodSharp, 123_450, 50_000),
			segment("21:00", "24:00", api.PeriodFlat, 68_710, 40_000),
		},
	})
	return err
}

// charger makes a charger with its secret and remembers how to be it.
func (w *world) charger(ctx context.Context, tenant, station int64, code string) error {
	kind, power, guns := "DC60", api.Measure(60_000), 2
	c := chargersim.ChargerConfig{DeviceID: code, Protocol: chargersim.OCPP16, Kind: kind, Connectors: guns}
	if len(w.chargers) < cloudChargers {
		c.Protocol = chargersim.CloudCharge
	}
	made, err := w.operator.api.Chargers.Create(ctx, api.CreateCharger{
		TenantID: &tenant, StationID: station, ChargerCode: code, ChargerName: code + " 直流桩", ChargerType: 1, RatedPower: power, GunCount: &guns,
		GunTypes: api.Ptr("GB/T"),
	})
	if err != nil {
		return err
	}
	secret, err := w.operator.api.Devices.NewCredential(ctx, made.ChargerID, api.CreateCredential{})
	if err != nil {
		return err
	}
	c.DeviceID, c.Secret = secret.DeviceID, secret.Secret
	w.chargers = append(w.chargers, c)
	return nil
}
