package ocpp16

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/evcs/evcs/internal/device"
)

// checkSchema validates a message against the schema of the Open Charge
// Alliance.
func checkSchema(t *testing.T, name string, message []byte) {
	t.Helper()
	path := schemaPath(t, name)
	if path == "" {
		return
	}
	schema, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		t.Fatalf("%s: %s: %v", name, message, err)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s: %s: %v", name, message, err)
	}
}

// schemaPath is the file of a schema; "" when it is absent. The schemas are not
// part of the project: EVCS_OCPP_SCHEMAS names their folder.
func schemaPath(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("EVCS_OCPP_SCHEMAS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "data", "ocpp")
	}
	path := filepath.Join(folder, "1.6", name+".json")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the OCPP schemas are absent: %v", err)
		}
		t.Logf("not validated, the OCPP schemas are absent: %v", err)
		return ""
	}
	return path
}

func TestCommandsMatchTheSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command device.Command
		want    string
	}{
		{device.Command{Kind: device.KindStart, Connector: 1, IDTag: "A\"B"}, `{"connectorId":1,"idTag":"A\"B"}`},
		{device.Command{Kind: device.KindStart, OrderNo: "ORD-20260210000019"}, `{"idTag":"ORD-20260210000019"}`},
		{device.Command{Kind: device.KindStart, ID: 7}, `{"idTag":"C7"}`},
		{device.Command{Kind: device.KindStop, Transaction: 12}, `{"transactionId":12}`},
		{device.Command{Kind: device.KindReset}, `{"type":"Soft"}`},
		{device.Command{Kind: device.KindReset, Hard: true}, `{"type":"Hard"}`},
		{device.Command{Kind: device.KindUnlock, Connector: 2}, `{"connectorId":2}`},
		{device.Command{Kind: device.KindAvailability, Operative: true}, `{"connectorId":0,"type":"Operative"}`},
		{device.Command{Kind: device.KindTrigger, Message: "Heartbeat"}, `{"requestedMessage":"Heartbeat"}`},
		{device.Command{Kind: device.KindGetConfig}, `{}`},
		{device.Command{Kind: device.KindGetConfig, Keys: []string{"A", "B"}}, `{"key":["A","B"]}`},
		{device.Command{Kind: device.KindSetConfig, Key: "A", Value: "1"}, `{"key":"A","value":"1"}`},
		{device.Command{Kind: device.KindClearCache}, `{}`},
		{
			device.Command{Kind: device.KindFirmware, URL: "https://u:p@h/f.bin", Retrieve: time.Date(2026, 2, 10, 10, 0, 0, 0, time.UTC)},
			`{"location":"https://u:p@h/f.bin","retrieveDate":"2026-02-10T10:00:00.000Z"}`,
		},
		{device.Command{Kind: device.KindLocalList, ID: 9, Full: true}, `{"listVersion":9,"updateType":"Full","localAuthorizationList":[]}`},
		{
			device.Command{Kind: device.KindLocalList, ID: 9, Tags: []device.Tag{
				{Tag: "A", Status: device.TagAccepted, Parent: "P", Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
				{Tag: "B", Status: device.TagBlocked},
				{Tag: "GONE"},
				{Tag: "LONGER-THAN-TWENTY-CHARACTERS", Status: device.TagAccepted},
			}},
			`{"listVersion":9,"updateType":"Differential","localAuthorizationList":[` +
				`{"idTag":"A","idTagInfo":{"status":"Accepted","expiryDate":"2027-01-01T00:00:00.000Z","parentIdTag":"P"}},` +
				`{"idTag":"B","idTagInfo":{"status":"Blocked"}},{"idTag":"GONE"}]}`,
		},
	} {
		action, payload, reason, err := request(c.command)
		if err != nil || reason != "" || string(payload) != c.want {
			t.Errorf("%+v: %s %q %v", c.command, payload, reason, err)
			continue
		}
		checkSchema(t, action, payload)
	}
	known := device.Commands(device.OCPP16)
	for _, kind := range []device.Kind{
		device.KindStart, device.KindStop, device.KindReset, device.KindUnlock, device.KindAvailability, device.KindTrigger, device.KindGetConfig,
		device.KindSetConfig, device.KindClearCache, device.KindSyncTime, device.KindPushTariff, device.KindReadData, device.KindFirmware, device.KindLocalList,
	} {
		if _, _, _, err := request(device.Command{Kind: kind}); (err == nil) != slices.Contains(known, kind) {
			t.Errorf("%s: %v, but the list of commands says %v", kind, err, slices.Contains(known, kind))
		}
	}
}
