package evcstest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ocpp16 "github.com/lorenzodonini/ocpp-go/ocpp1.6"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/core"
	"github.com/lorenzodonini/ocpp-go/ocpp1.6/types"
	"github.com/lorenzodonini/ocpp-go/ws"

	"github.com/evcs/evcs/internal/evcstest"
)

// foreign is a charge point of another house's OCPP library: what we and it
// both understand is not an agreement with ourselves.
type foreign struct {
	t *testing.T
	ocpp16.ChargePoint
	starts chan *core.RemoteStartTransactionRequest
	stops  chan int
}

func plug(t *testing.T, y *yard) *foreign {
	t.Helper()
	socket := ws.NewClient()
	socket.SetBasicAuth(y.device, y.secret)
	p := &foreign{
		t: t, ChargePoint: ocpp16.NewChargePoint(y.device, nil, socket),
		starts: make(chan *core.RemoteStartTransactionRequest, 1), stops: make(chan int, 1),
	}
	p.SetCoreHandler(p)
	if err := p.Start("ws" + strings.TrimPrefix(y.d.DeviceURL, "http") + "/ocpp"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.unplug)
	boot, err := p.BootNotification("Model", "Vendor")
	if err != nil || boot.Status != core.RegistrationStatusAccepted {
		t.Fatalf("boot: %+v, %v", boot, err)
	}
	if _, err := p.StatusNotification(1, core.NoError, core.ChargePointStatusAvailable); err != nil {
		t.Fatal(err)
	}
	return p
}

// unplug ends the connection; a second time is harmless.
func (p *foreign) unplug() {
	if p.ChargePoint != nil {
		p.Stop()
		p.ChargePoint = nil
	}
}

func (p *foreign) begin(tag string, register int, at time.Time) *core.StartTransactionConfirmation {
	p.t.Helper()
	answer, err := p.StartTransaction(1, tag, register, types.NewDateTime(at))
	if err != nil {
		p.t.Fatal(err)
	}
	return answer
}

func (p *foreign) meter(transaction, register int, at time.Time) {
	p.t.Helper()
	value := types.MeterValue{Timestamp: types.NewDateTime(at), SampledValue: []types.SampledValue{{
		Value: fmt.Sprint(register), Measurand: types.MeasurandEnergyActiveImportRegister, Unit: types.UnitOfMeasureWh,
	}}}
	if _, err := p.MeterValues(1, []types.MeterValue{value}, func(r *core.MeterValuesRequest) { r.TransactionId = &transaction }); err != nil {
		p.t.Fatal(err)
	}
}

func (p *foreign) end(transaction, register int, at time.Time) {
	p.t.Helper()
	if _, err := p.StopTransaction(register, types.NewDateTime(at), transaction); err != nil {
		p.t.Fatal(err)
	}
}

func TestAForeignChargePointCharges(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "FOREIGN-1")
		p := plug(t, y)
		for tag, want := range map[string]types.AuthorizationStatus{"T1": types.AuthorizationStatusAccepted, "STRANGER": types.AuthorizationStatusInvalid} {
			if answer, err := p.Authorize(tag); err != nil || answer.IdTagInfo.Status != want {
				t.Errorf("%s: %+v, %v", tag, answer, err)
			}
		}
		started := p.begin("T1", 1000, begun)
		if started.IdTagInfo.Status != types.AuthorizationStatusAccepted || started.TransactionId == 0 {
			t.Fatalf("%+v", started)
		}
		p.meter(started.TransactionId, 5000, begun.Add(30*time.Minute))
		y.pass(time.Hour)
		p.meter(started.TransactionId, 11_000, begun.Add(time.Hour))
		p.meter(started.TransactionId, 17_000, begun.Add(90*time.Minute))
		if running := y.order(t); running.Status != 0 || running.Energy != "16.0000" {
			t.Errorf("while it charges: %+v", running)
		}
		y.pass(time.Hour)
		p.end(started.TransactionId, 21_500, begun.Add(2*time.Hour))
		// 10 kWh before noon and 10.5 after it: 10 + 15.75, 5 + 6.30.
		y.billed(t, "20.5000", "25.75", "11.30", "37.05")
	})
}

func TestAForeignChargePointObeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "FOREIGN-1")
		p := plug(t, y)
		var transaction int
		var wg sync.WaitGroup
		wg.Go(func() {
			asked := <-p.starts
			answer, err := p.StartTransaction(1, asked.IdTag, 0, types.NewDateTime(begun))
			if err != nil || answer.IdTagInfo.Status != types.AuthorizationStatusAccepted {
				t.Errorf("start that was asked for: %+v, %v", answer, err)
				return
			}
			transaction = answer.TransactionId
		})
		var b bill
		y.by.OK(t, http.MethodPost, evcstest.Path("/api/charger/%d/connectors/1/start", y.ChargerID), map[string]any{}).Into(t, &b)
		wg.Wait()
		if b.Status != 0 || b.SessionID == "" || b.ChargerID != y.ChargerID {
			t.Fatalf("started: %+v", b)
		}
		y.pass(2 * time.Hour)
		wg.Go(func() {
			asked := <-p.stops
			if asked != transaction {
				t.Errorf("asked to stop %d, it is %d", asked, transaction)
			}
			if _, err := p.StopTransaction(20_000, types.NewDateTime(begun.Add(2*time.Hour)), transaction); err != nil {
				t.Error(err)
			}
		})
		y.by.OK(t, http.MethodPost, "/api/order/stop", map[string]any{"sessionId": b.SessionID}).Into(t, &b)
		wg.Wait()
		if b.Status != 10 || b.Energy != "20.0000" {
			t.Errorf("stopped: %+v", b)
		}
		y.billed(t, "20.0000", "25.00", "11.00", "36.00") // 10 kWh on either side of noon, no reading between
	})
}

// TestAReplayIsOneOrder tells a charge that happened offline, and all of it
// again, with new message ids, and again after a restart.
func TestAReplayIsOneOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun.Add(5 * time.Hour))
		y := build(t, d, d.Admin(), "FOREIGN-1")
		first := 0
		tell := func(p *foreign) {
			started := p.begin("T1", 1000, begun)
			if first == 0 {
				first = started.TransactionId
			}
			if started.TransactionId != first || started.IdTagInfo.Status != types.AuthorizationStatusAccepted {
				t.Errorf("repeat answered with %+v, the first with %d", started, first)
			}
			p.meter(first, 5000, begun.Add(30*time.Minute))
			p.end(first, 21_500, begun.Add(2*time.Hour))
		}
		p := plug(t, y)
		tell(p)
		tell(p)
		// 4 kWh by 11:30, 16.5 more by 13:00: 9.5 by noon on the straight line and
		// 11 after it, so 9.5 + 16.50 and 4.75 + 6.60.
		y.billed(t, "20.5000", "26.00", "11.35", "37.35")
		p.unplug()
		y.restart(t)
		tell(plug(t, y))
		y.billed(t, "20.5000", "26.00", "11.35", "37.35")
		var sessions struct{ Records []struct{ Samples int64 } }
		y.by.OK(t, http.MethodGet, "/api/session", nil).Into(t, &sessions)
		if len(sessions.Records) != 1 {
			t.Errorf("%+v", sessions)
		}
	})
}

func TestARestartInMidCharge(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "FOREIGN-1")
		p := plug(t, y)
		transaction := p.begin("T1", 1000, begun).TransactionId
		p.meter(transaction, 5000, begun.Add(30*time.Minute))
		p.unplug()
		y.pass(time.Hour)
		y.restart(t)
		if b := y.order(t); b.Status != 0 || b.Energy != "4.0000" {
			t.Errorf("after the restart: %+v", b)
		}
		p = plug(t, y)
		p.meter(transaction, 11_000, begun.Add(time.Hour))
		y.pass(time.Hour)
		p.end(transaction, 21_500, begun.Add(2*time.Hour))
		y.billed(t, "20.5000", "25.75", "11.30", "37.05")
		var trial json.RawMessage
		y.by.OK(t, http.MethodGet, "/api/ledger/trial-balance", nil).Into(t, &trial)
		if !strings.Contains(string(trial), "37.05") {
			t.Errorf("the journal does not have the bill: %s", trial)
		}
	})
}

// OnRemoteStartTransaction implements core.ChargePointHandler.
func (p *foreign) OnRemoteStartTransaction(r *core.RemoteStartTransactionRequest) (*core.RemoteStartTransactionConfirmation, error) {
	p.starts <- r
	return core.NewRemoteStartTransactionConfirmation(types.RemoteStartStopStatusAccepted), nil
}

// OnRemoteStopTransaction implements core.ChargePointHandler.
func (p *foreign) OnRemoteStopTransaction(r *core.RemoteStopTransactionRequest) (*core.RemoteStopTransactionConfirmation, error) {
	p.stops <- r.TransactionId
	return core.NewRemoteStopTransactionConfirmation(types.RemoteStartStopStatusAccepted), nil
}

// OnChangeAvailability implements core.ChargePointHandler.
func (*foreign) OnChangeAvailability(*core.ChangeAvailabilityRequest) (*core.ChangeAvailabilityConfirmation, error) {
	return core.NewChangeAvailabilityConfirmation(core.AvailabilityStatusAccepted), nil
}

// OnChangeConfiguration implements core.ChargePointHandler.
func (*foreign) OnChangeConfiguration(*core.ChangeConfigurationRequest) (*core.ChangeConfigurationConfirmation, error) {
	return core.NewChangeConfigurationConfirmation(core.ConfigurationStatusAccepted), nil
}

// OnClearCache implements core.ChargePointHandler.
func (*foreign) OnClearCache(*core.ClearCacheRequest) (*core.ClearCacheConfirmation, error) {
	return core.NewClearCacheConfirmation(core.ClearCacheStatusAccepted), nil
}

// OnDataTransfer implements core.ChargePointHandler.
func (*foreign) OnDataTransfer(*core.DataTransferRequest) (*core.DataTransferConfirmation, error) {
	return core.NewDataTransferConfirmation(core.DataTransferStatusAccepted), nil
}

// OnGetConfiguration implements core.ChargePointHandler.
func (*foreign) OnGetConfiguration(*core.GetConfigurationRequest) (*core.GetConfigurationConfirmation, error) {
	return core.NewGetConfigurationConfirmation(nil), nil
}

// OnReset implements core.ChargePointHandler.
func (*foreign) OnReset(*core.ResetRequest) (*core.ResetConfirmation, error) {
	return core.NewResetConfirmation(core.ResetStatusAccepted), nil
}

// OnUnlockConnector implements core.ChargePointHandler.
func (*foreign) OnUnlockConnector(*core.UnlockConnectorRequest) (*core.UnlockConnectorConfirmation, error) {
	return core.NewUnlockConnectorConfirmation(core.UnlockStatusUnlocked), nil
}
