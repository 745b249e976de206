package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/bench/ref"
	"github.com/evcs/evcs/internal/evcs"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour/time.Microsecond)), 1, 200).Draw(t, "us")
		h := new(histogram)
		for _, us := range list {
			h.add(time.Duration(us) * time.Microsecond)
			b := bucketOf(uint64(us))
			if v := int64(valueOf(b)); v < us || v-us > us/100 || b > 0 && int64(valueOf(b-1)) >= us {
				t.Fatalf("%d us fell into bucket %d up to %d", us, b, v)
			}
		}
		if h.quantile(1000) != h.most || h.quantile(500) > h.quantile(990) {
			t.Fatalf("p50 %v p99 %v p100 %v most %v", h.quantile(500), h.quantile(990), h.quantile(1000), h.most)
		}
	})
}

// echoServer runs the reference in this process.
func echoServer(t *testing.T) target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ref.Echo(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return target{name: "echo", url: "ws://" + l.Addr().String() + "/ocpp", pid: os.Getpid(), echo: true, who: anonymous(20)}
}

func TestMeasureAgainstEcho(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{0, 400} {
		o := &options{rate: rate, warm: 20 * time.Millisecond, length: 250 * time.Millisecond, out: t.Output()}
		r, err := measure(t.Context(), o.job(echoServer(t), evcs.SystemClock{}))
		if err != nil {
			t.Fatal(err)
		}
		if r.Calls == 0 || r.Wrong > 0 || r.Dead > 0 || r.P50 <= 0 || r.P99 < r.P50 || r.RSS == 0 {
			t.Errorf("rate %d: %+v", rate, r)
		}
		if rate > 0 && (r.Calls > 110 || r.Mode != "open") {
			t.Errorf("%d calls in a quarter of a second at %d per second", r.Calls, rate)
		}
	}
}

func TestScriptIsWellFormed(t *testing.T) {
	t.Parallel()
	s := &station{clock: evcs.SystemClock{}, tx: 5}
	var actions []string
	for range steps {
		var frame []json.RawMessage
		if err := json.Unmarshal(s.next(), &frame); err != nil || len(frame) != 4 {
			t.Fatalf("%s: %v", s.call, err)
		}
		actions = append(actions, strings.Trim(string(frame[2]), `"`))
		s.advance()
	}
	want := "Authorize StatusNotification StartTransaction " + strings.Repeat("MeterValues ", 5) + "Heartbeat StopTransaction"
	if got := strings.Join(actions, " "); got != want {
		t.Errorf("script %s", got)
	}
}

func TestAnswersAreChecked(t *testing.T) {
	t.Parallel()
	s := &station{clock: evcs.SystemClock{}, step: stepStart}
	call := s.next()
	for answer, right := range map[string]bool{
		`[3,"1",{"transactionId":77,"idTagInfo":{"status":"Accepted"}}]`: true,
		`[3,"1",{"transactionId":77,"idTagInfo":{"status":"Invalid"}}]`:  false,
		`[3,"1",{"idTagInfo":{"status":"Accepted"}}]`:                    false,
		`[3,"2",{"transactionId":77,"idTagInfo":{"status":"Accepted"}}]`: false,
		`[4,"1","InternalError","",{}]`:                                  false,
	} {
		if got := s.right(call, []byte(answer)); got != right {
			t.Errorf("%s is right: %v", answer, got)
		}
	}
	if s.tx != 77 {
		t.Errorf("transaction %d", s.tx)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	o := &options{out: &out}
	if err := o.judge("x", "us", []float64{10, 10, 10}, []float64{20, 30, 25}, 2.6); err != nil {
		t.Error(err)
	}
	if err := o.judge("x", "us", []float64{10}, []float64{20}, 1.5); err == nil {
		t.Error("past the gate, and no error")
	}
	if !strings.Contains(out.String(), `"ratio":2.5`) {
		t.Errorf("printed %s", out.String())
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"idle", "-n", "50000"}, {"idle", "--dur", "1h"}, {"idle", "--rounds", "0"}, {"idle"}} {
		root := newRoot(evcs.SystemClock{})
		root.SetArgs(args)
		if err := root.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%v ran", args)
		}
	}
}
