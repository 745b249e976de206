package chargersim

import (
	"strings"
	"testing"
	"testing/synctest"
)

func TestOrdersOfTheServer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ action, payload, want string }{
		{"GetConfiguration", `{"key":["NumberOfConnectors","Nonsense"]}`, `{"configurationKey":[{"key":"NumberOfConnectors","readonly":true,"value":"2"}],"unknownKey":["Nonsense"]}`},
		{"ChangeConfiguration", `{"key":"HeartbeatInterval","value":"30"}`, `{"status":"Accepted"}`},
		{"ChangeConfiguration", `{"key":"HeartbeatInterval","value":"soon"}`, `{"status":"Rejected"}`},
		{"ChangeConfiguration", `{"key":"NumberOfConnectors","value":"9"}`, `{"status":"Rejected"}`},
		{"ChangeConfiguration", `{"key":"Nonsense","value":"1"}`, `{"status":"NotSupported"}`},
		{"ClearCache", `{}`, `{"status":"Accepted"}`},
		{"ChangeAvailability", `{"connectorId":2,"type":"Inoperative"}`, `{"status":"Accepted"}`},
		{"ChangeAvailability", `{"connectorId":7,"type":"Inoperative"}`, `{"status":"Rejected"}`},
		{"UnlockConnector", `{"connectorId":1}`, `{"status":"Unlocked"}`},
		{"TriggerMessage", `{"requestedMessage":"Heartbeat"}`, `{"status":"Accepted"}`},
		{"TriggerMessage", `{"requestedMessage":"FirmwareStatusNotification"}`, `{"status":"NotImplemented"}`},
		{"RemoteStopTransaction", `{"transactionId":4711}`, `{"status":"Rejected"}`},
		{"DataTransfer", `{"vendorId":"x"}`, `{"status":"UnknownVendorId"}`},
		{"ReserveNow", `{}`, `"NotImplemented"`},
	} {
		t.Run(test.action+test.payload, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newCSMS(t)
				_, c, end := manual(t, s, Config{})
				await(t, c, Connected)
				got := strings.ReplaceAll(s.ask("CP-1", "ask-1", test.action, test.payload), ", ", ",")
				if !strings.Contains(got, test.want) {
					t.Errorf("answered %s, want %s", got, test.want)
				}
				end()
			})
		})
	}
}

func TestRemoteStartAndStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		fleet, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		s.ask("CP-1", "ask-1", "RemoteStartTransaction", `{"connectorId":2,"idTag":"APP"}`)
		seen := await(t, c, Charging(2))
		if got := s.ask("CP-1", "ask-2", "RemoteStartTransaction", `{"connectorId":2,"idTag":"APP"}`); !strings.Contains(got, "Rejected") {
			t.Errorf("second start of a busy connector answered %s", got)
		}
		pass(step)
		if got := s.ask("CP-1", "ask-3", "RemoteStopTransaction", `{"transactionId":101}`); !strings.Contains(got, "Accepted") {
			t.Errorf("stop answered %s; %+v", got, seen)
		}
		await(t, c, Idle(2))
		end()
		agree(t, fleet, s, 1)
		if stop := fleet.Journal().Sessions()[0].Stop; stop.Reason != "Remote" || stop.IDTag != "APP" {
			t.Errorf("stopped as %+v", stop)
		}
	})
}

func TestResetEndsSessionsAndBoots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		fleet, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		must(t, c.StartLocal(t.Context(), 1, "TAG"))
		await(t, c, Charging(1))
		s.heardOf("BootNotification")
		s.ask("CP-1", "ask-1", "Reset", `{"type":"Hard"}`)
		if boot := s.heardOf("BootNotification"); boot.device != "CP-1" {
			t.Errorf("heard %+v", boot)
		}
		await(t, c, Idle(1))
		end()
		agree(t, fleet, s, 1)
		if stop := fleet.Journal().Sessions()[0].Stop; stop.Reason != "HardReset" {
			t.Errorf("stopped with reason %s", stop.Reason)
		}
	})
}

func TestAvailabilityWaitsForTheSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		_, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		must(t, c.StartLocal(t.Context(), 1, "TAG"))
		await(t, c, Charging(1))
		if got := s.ask("CP-1", "ask-1", "ChangeAvailability", `{"connectorId":1,"type":"Inoperative"}`); !strings.Contains(got, "Scheduled") {
			t.Errorf("answered %s", got)
		}
		must(t, c.StopLocal(t.Context(), 1))
		await(t, c, func(s Snapshot) bool { return s.Connectors[0].State == "Unavailable" })
		end()
	})
}
