package cloud

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSignatureVectorOfTheContract(t *testing.T) {
	t.Parallel()
	body, err := signed("k3Zt9vQmX2bR7wLpD5yHsE8uJ4nGfA1c", envelope{
		id: "REQ-0001", stamp: "2026-02-10T18:30:05", device: "CP-001", session: "S-7f3a", action: "stop", data: fields{
			"connectorNo": 1, "duration": 60, "endTime": "2026-02-10T18:30:00", "energy": json.RawMessage("42.5000"), "reason": "EV full",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"requestId":"REQ-0001","apiVersion":"3.0","timestamp":"2026-02-10T18:30:05","deviceCode":"CP-001",` +
		`"sessionId":"S-7f3a","action":"stop","data":{"connectorNo":1,"duration":60,"endTime":"2026-02-10T18:30:00",` +
		`"energy":42.5000,"reason":"EV full"},"signature":"cc4e369289496a56ae666851f64af0ed8b588f101f1be66b66ff36017e073517"}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("signed request (-want +got):\n%s", diff)
	}
}
