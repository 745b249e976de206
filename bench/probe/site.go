package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Site is a tenant with a station full of chargers, ready to be used.
type Site struct {
	TenantID  int64
	StationID int64
	PlanID    int64
	Chargers  []Charger
	// User and Password sign in as the tenant's administrator.
	User, Password string
}

// Charger is one charger of a site and its credential.
type Charger struct {
	ID       int64
	DeviceID string
	Secret   string
	Protocol string
}

// SiteOptions says what to build.
type SiteOptions struct {
	Code       string // of the tenant; prefix of the chargers' device ids
	Chargers   int
	Connectors int
	RatedKW    int
	Protocol   string
	// Other is the protocol of the last OtherChargers of them.
	Other         string
	OtherChargers int
}

type object = map[string]any

// attempts is how often a step of the set-up is tried.
const attempts = 10

// put makes one thing. What is built on something that was just made is tried
// again for a moment when that is not found: an evcsd that answers before its
// commit, built so on purpose, is to be caught under load and not here.
func put(ctx context.Context, c *Client, method, path string, body, out any) error {
	for n := 1; ; n++ {
		err := c.Do(ctx, method, path, "", body, out)
		var refusal *Refusal
		if n == attempts || !errors.As(err, &refusal) || refusal.Status != http.StatusNotFound {
			return err
		}
		timer := time.NewTimer(20 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// Build makes a site through the public API, signed in as a platform
// administrator: tenant with its own administrator, settings, station,
// time-of-use plan, chargers with secrets.
func Build(ctx context.Context, c *Client, o SiteOptions) (Site, error) {
	s := Site{User: "admin@" + o.Code, Password: "Site-" + o.Code + "-9xQ4"}
	if err := s.tenant(ctx, c, o); err != nil {
		return s, err
	}
	steps := []struct {
		method, path string
		body         object
		id           string
		into         *int64
	}{
		{http.MethodPut, fmt.Sprintf("/api/tenant/%d/settings", s.TenantID), object{"sandboxPayments": true, "idTagPolicy": "ACCEPT_ALL"}, "", nil},
		{http.MethodPost, "/api/station", object{
			"tenantId": s.TenantID, "stationCode": o.Code + "-1", "stationName": o.Code, "address": "1 Bench Road",
		}, "stationId", &s.StationID},
		{http.MethodPost, "/api/billing/plan", object{
			"tenantId": s.TenantID, "name": "time of use", "code": o.Code + "-TOU", "segments": segments(),
		}, "planId", &s.PlanID},
	}
	for _, step := range steps {
		var got map[string]any
		if err := put(ctx, c, step.method, step.path, step.body, &got); err != nil {
			return s, fmt.Errorf("build a site: %w", err)
		}
		if step.into == nil {
			continue
		}
		id, ok := got[step.id].(float64)
		if !ok {
			return s, fmt.Errorf("build a site: %s has no %s", step.path, step.id)
		}
		*step.into = int64(id)
	}
	return s, s.chargers(ctx, c, o)
}

func (s *Site) tenant(ctx context.Context, c *Client, o SiteOptions) error {
	var got struct {
		TenantID int64 `json:"tenantId"`
	}
	err := put(ctx, c, http.MethodPost, "/api/tenant", object{
		"tenantCode": o.Code, "tenantName": o.Code, "contactPerson": "Bench", "contactPhone": "13800138000", "tenantType": 2,
		"maxChargers": o.Chargers + 10, "admin": object{"username": "admin", "password": s.Password},
	}, &got)
	if err != nil {
		return fmt.Errorf("build a site: %w", err)
	}
	s.TenantID = got.TenantID
	return nil
}

// segments is a day with four prices.
func segments() []object {
	segment := func(from, to, kind string, energy, service json.Number) object {
		return object{"startTime": from, "endTime": to, "periodKind": kind, "energyPrice": energy, "serviceFee": service}
	}
	return []object{
		segment("00:00", "08:00", "VALLEY", "0.35", "0.4"), segment("08:00", "11:00", "PEAK", "1.0523", "0.45"),
		segment("11:00", "18:00", "FLAT", "0.6871", "0.45"), segment("18:00", "21:00", "SHARP", "1.2345", "0.5"),
		segment("21:00", "24:00", "FLAT", "0.6871", "0.4"),
	}
}

// builders is how many chargers are created at once.
const builders = 4

func (s *Site) chargers(ctx context.Context, c *Client, o SiteOptions) error {
	s.Chargers = make([]Charger, o.Chargers)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(builders)
	for i := range o.Chargers {
		group.Go(func() error {
			one := o
			if i >= o.Chargers-o.OtherChargers {
				one.Protocol = o.Other
			}
			made, err := s.charger(ctx, c, one, fmt.Sprintf("%s-%05d", o.Code, i+1))
			s.Chargers[i] = made
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("build chargers: %w", err)
	}
	return nil
}

func (s *Site) charger(ctx context.Context, c *Client, o SiteOptions, code string) (Charger, error) {
	var made struct {
		ChargerID int64  `json:"chargerId"`
		DeviceID  string `json:"deviceId"`
	}
	body := object{
		"tenantId": s.TenantID, "stationId": s.StationID, "chargerCode": code, "chargerName": code, "chargerType": 1,
		"ratedPower": o.RatedKW, "gunCount": max(o.Connectors, 1),
	}
	if o.Protocol != "" {
		body["protocol"] = o.Protocol
	}
	if err := put(ctx, c, http.MethodPost, "/api/charger", body, &made); err != nil {
		return Charger{}, err
	}
	var credential struct {
		Secret string `json:"secret"`
	}
	path := fmt.Sprintf("/api/charger/%d/credential", made.ChargerID)
	if err := put(ctx, c, http.MethodPost, path, object{}, &credential); err != nil {
		return Charger{}, err
	}
	return Charger{ID: made.ChargerID, DeviceID: made.DeviceID, Secret: credential.Secret, Protocol: o.Protocol}, nil
}
