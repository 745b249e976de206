package health_test

import (
	"errors"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/health"
)

var noon = time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)

func node(id string, seen time.Time, failing ...string) health.Node {
	n := health.Node{ID: id, Seen: seen, Started: seen.Add(-time.Hour)}
	for _, name := range []string{health.StoreRead, health.StoreWrite, health.RESTListener, health.DeviceListener, health.Channels, health.Settlement, health.Outbox, health.Jobs, health.LogStore} {
		c := health.Check{Name: name, Status: health.Up, Took: time.Millisecond}
		for _, f := range failing {
			if f == name {
				c.Status = health.Down
				if name == health.Channels {
					c.Status = health.Degraded
				}
			}
		}
		n.State.Checks = append(n.State.Checks, c)
	}
	return n
}

func TestJudge(t *testing.T) {
	t.Parallel()
	silent := noon.Add(-61 * time.Second)
	for name, c := range map[string]struct {
		nodes   []health.Node
		want    map[string]health.Status
		overall health.Status
	}{
		"all well":              {[]health.Node{node("a", noon)}, map[string]health.Status{health.Gateway: health.Up, health.Payment: health.Up}, health.Up},
		"heard just in time":    {[]health.Node{node("a", noon.Add(-time.Minute))}, map[string]health.Status{health.Gateway: health.Up}, health.Up},
		"silent":                {[]health.Node{node("a", silent)}, map[string]health.Status{health.Gateway: health.Unknown}, health.Unknown},
		"nobody":                {nil, map[string]health.Status{health.Gateway: health.Unknown}, health.Unknown},
		"not vital":             {[]health.Node{node("a", noon, health.Channels)}, map[string]health.Status{health.Payment: health.Degraded, health.Gateway: health.Up}, health.Degraded},
		"vital":                 {[]health.Node{node("a", noon, health.RESTListener)}, map[string]health.Status{health.Gateway: health.Down, health.Payment: health.Up}, health.Down},
		"one of two":            {[]health.Node{node("a", noon, health.RESTListener), node("b", noon)}, map[string]health.Status{health.Gateway: health.Degraded}, health.Degraded},
		"one of two silent":     {[]health.Node{node("a", silent), node("b", noon)}, map[string]health.Status{health.Gateway: health.Degraded, health.Order: health.Degraded}, health.Degraded},
		"one silent, one fails": {[]health.Node{node("a", silent), node("b", noon, health.StoreRead)}, map[string]health.Status{health.Tenant: health.Down}, health.Down},
	} {
		parts := health.Judge(c.nodes, noon)
		if len(parts) != 8 {
			t.Fatalf("%s: %d parts", name, len(parts))
		}
		for _, p := range parts {
			if want, ok := c.want[p.Name]; ok && p.Status != want {
				t.Errorf("%s: %s is %s, want %s", name, p.Name, p.Status, want)
			}
		}
		if got := health.Overall(parts); got != c.overall {
			t.Errorf("%s: overall %s, want %s", name, got, c.overall)
		}
	}
	if _, err := health.JudgeOne("evcs-nothing", nil, noon); !errors.Is(err, health.ErrUnknown) {
		t.Errorf("an unknown part: %v", err)
	}
}
