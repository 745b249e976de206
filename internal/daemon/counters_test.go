package daemon

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/evcs"
)

func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	got := make(map[string]float64)
	add := func(name string, n float64, labels ...string) {
		got[strings.Join(append([]string{name}, labels...), " ")] += n
	}
	for _, e := range []evcs.Event{
		{Type: evcs.EventOrderCreated},
		{Type: evcs.EventOrderStatus, Data: []byte(`{"event":"CANCELLED","cancelReason":"START_TIMEOUT"}`)},
		{Type: evcs.EventOrderStatus, Data: []byte(`{"event":"CANCELLED","cancelReason":"what somebody wrote"}`)},
		{Type: evcs.EventOrderStatus, Data: []byte(`{"event":"ENDED","held":true,"anomalies":["GAP","NO_TARIFF"]}`)},
		{Type: evcs.EventOrderStatus, Data: []byte(`{"event":"TO_PAY","anomalies":["NO_TARIFF"]}`)},
		{Type: evcs.EventOrderStatus, Data: []byte(`broken`)},
		{Type: evcs.EventSessionEnded},
		(&command.Command{Type: "RESET", State: command.Sent}).Event(evcs.FromMillis(1)),
		{Type: evcs.EventChargerStatus},
	} {
		count(add, e)
	}
	want := map[string]float64{
		"evcs_order_created_total": 1, "evcs_order_start_failed_total START_TIMEOUT": 1, "evcs_order_held_total NO_TARIFF": 1,
		"evcs_order_stopped_total": 1, "evcs_command_total RESET SENT": 1, "evcs_device_messages_total any out sent": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
}
