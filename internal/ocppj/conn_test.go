package ocppj_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/ocppj"
)

func TestAnswersInTheWordsOfTheStandard(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct{ in, want string }{
		"result":            {`[2,"1","X",{"a":1}]`, `[3,"1",{"a":1}]`},
		"spaces":            {" [ 2 , \"1\" ,\t\"X\" , { \"a\" : 1 } ] \n", `[3,"1",{ "a" : 1 } ]`},
		"id with escapes":   {`[2,"a\"\u0041","X",{}]`, `[3,"a\"\u0041",{}]`},
		"id as number":      {`[2,77,"X",{}]`, `[3,77,{}]`},
		"CALLERROR":         {`[2,"1","Refuse",{}]`, `[4,"1","NotSupported","no \"thanks\"",{}]`},
		"no payload":        {`[2,"1","X"]`, `[4,"1","ProtocolError","the message lacks parts or has others",{}]`},
		"no action":         {`[2,"1"]`, ``},
		"action not a text": {`[2,"1",5,{}]`, `[4,"1","ProtocolError","the message lacks parts or has others",{}]`},
		"cut off":           {`[2,"1","X",{"a":`, `[4,"1","FormationViolation","the message is not JSON",{}]`},
		"cut off in action": {`[2,"1","X`, `[4,"1","FormationViolation","the message is not JSON",{}]`},
		"no array":          {`{"a":1}`, ``},
		"empty":             {``, ``},
		"binary":            {"\x00\x01\xff", ``},
		"unknown type":      {`[9,"1","X",{}]`, ``},
		"id too long":       {`[2,"` + long + `","X",{}]`, ``},
		"unanswered":        {`[2,"1","Silent",{}]`, ``},
		"panic":             {`[2,"1","X2",{}]`, `[3,"1",{}]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, _, _, end := run(t, ocppj.Options{}, ocppj.Station{}, func(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
					switch string(call.Action) {
					case "Refuse":
						return out, &ocppj.CallError{Code: "NotSupported", Description: `no "thanks"`}
					case "Silent":
						return out, fmt.Errorf("the store: %w", errAny)
					}
					return echo(ctx, call, out)
				})
				p.send(t, c.in)
				if c.want != "" && name != "no action" {
					p.expect(t, c.want)
				}
				if name == "no action" {
					p.expect(t, `[4,"1","ProtocolError","the message lacks parts or has others",{}]`)
				}
				// The connection lives on, and nothing else was said.
				p.send(t, `[2,"next","X",{}]`)
				p.expect(t, `[3,"next",{}]`)
				_ = end()
			})
		})
	}
}

// Stations start, report status and meter without waiting for answers.
func TestPipelinedCallsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, _, end := run(t, ocppj.Options{Queue: 4}, ocppj.Station{}, func(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
			time.Sleep(time.Millisecond) // the bubble's time: a commit
			return echo(ctx, call, out)
		})
		go func() {
			for i := range 100 {
				p.send(t, fmt.Sprintf(`[2,"%d","X",{}]`, i))
			}
		}()
		for i := range 100 {
			p.expect(t, fmt.Sprintf(`[3,"%d",{}]`, i))
		}
		_ = end()
	})
}

// A MeterValues in flight does not hold up the answer to a command.
func TestDirectionsAreIndependent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		commit := make(chan struct{})
		p, c, _, end := run(t, ocppj.Options{}, ocppj.Station{}, func(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
			<-commit
			return echo(ctx, call, out)
		})
		p.send(t, `[2,"m","MeterValues",{}]`)
		got := make(chan string, 1)
		go func() {
			result, err := c.Call(t.Context(), ocppj.Request{Action: "Reset", Payload: []byte(`{"type":"Soft"}`)})
			got <- fmt.Sprint(string(result), err)
		}()
		id, rest := splitCall(t, p.next(t))
		if rest != `,"Reset",{"type":"Soft"}]` {
			t.Errorf("call is %s", rest)
		}
		p.send(t, `[3, "`+id+`" , {"status":"Accepted"} ]`)
		if a := <-got; a != `{"status":"Accepted"}<nil>` {
			t.Errorf("answer is %s", a)
		}
		close(commit)
		p.expect(t, `[3,"m",{}]`)
		_ = end()
	})
}

func splitCall(t *testing.T, message string) (id, rest string) {
	t.Helper()
	after, ok := strings.CutPrefix(message, `[2,"`)
	if !ok {
		t.Fatalf("no call: %s", message)
	}
	id, rest, _ = strings.Cut(after, `"`)
	return id, rest
}

func TestOneCommandOnTheWireAndLateAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c, e, end := run(t, ocppj.Options{}, ocppj.Station{}, echo)
		late := make(chan string, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() {
			_, err := c.Call(ctx, ocppj.Request{Action: "A", Payload: []byte(`{}`), Late: func(r []byte, err error) {
				late <- fmt.Sprint(string(r), err)
			}})
			first <- err
		}()
		idA, _ := splitCall(t, p.next(t))
		second := make(chan string, 1)
		go func() {
			r, err := c.Call(t.Context(), ocppj.Request{Action: "B", Payload: []byte(`{}`)})
			second <- fmt.Sprint(string(r), err)
		}()
		synctest.Wait()
		select {
		case m := <-p.out:
			t.Errorf("a second call is on the wire: %s", m)
		default:
		}
		if n := c.Info().Pending; n != 2 {
			t.Errorf("pending %d, want 2", n)
		}
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("first: %v", err)
		}
		idB, _ := splitCall(t, p.next(t))
		p.send(t, `[3,"`+idA+`",{"status":"Accepted"}]`)
		if a := <-late; a != `{"status":"Accepted"}<nil>` {
			t.Errorf("late answer %s", a)
		}
		p.send(t, `[4,"`+idB+`","NotSupported","",{}]`)
		if a := <-second; a != `CALLERROR NotSupported: ` {
			t.Errorf("second: %q", a)
		}
		p.send(t, `[3,"never asked",{}]`)
		_ = end()
		if n := e.Counters(); n.Late.Load() != 1 || n.Stray.Load() != 1 {
			t.Errorf("late %d stray %d", n.Late.Load(), n.Stray.Load())
		}
	})
}

func TestCallEndsWithItsContextWhenTheStationDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c, e, end := run(t, ocppj.Options{}, ocppj.Station{}, echo)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := c.Call(ctx, ocppj.Request{Action: "A", Payload: []byte(`{}`)})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		<-p.gone // after the write timeout the station is dropped
		if d := time.Since(start); d != p.limit {
			t.Errorf("dropped after %v", d)
		}
		_ = end()
		if e.Counters().Slow.Load() != 1 {
			t.Error("not counted as slow")
		}
	})
}

func TestCallFailsWhenTheConnectionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c, _, end := run(t, ocppj.Options{}, ocppj.Station{}, echo)
		got := make(chan error, 2)
		for range 2 { // one on the wire, one waiting
			go func() {
				_, err := c.Call(t.Context(), ocppj.Request{Action: "A", Payload: []byte(`{}`)})
				got <- err
			}()
		}
		p.next(t)
		p.Close(1006, "")
		for range 2 {
			if err := <-got; !errors.Is(err, device.ErrGone) {
				t.Errorf("got %v", err)
			}
		}
		_ = end()
		if _, err := c.Call(t.Context(), ocppj.Request{Action: "A"}); !errors.Is(err, device.ErrGone) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestCrowdedWire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c, _, end := run(t, ocppj.Options{Waiting: 1}, ocppj.Station{}, echo)
		go func() { _, _ = c.Call(t.Context(), ocppj.Request{Action: "A", Payload: []byte(`{}`)}) }()
		p.next(t)
		if _, err := c.Call(t.Context(), ocppj.Request{Action: "B"}); !errors.Is(err, ocppj.ErrCrowded) {
			t.Errorf("got %v", err)
		}
		_ = end()
	})
}

func TestFloodIsSlowedThenClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c, e, end := run(t, ocppj.Options{Rate: 10, Burst: 20, Flood: 30 * time.Second}, ocppj.Station{}, echo)
		start, n := time.Now(), 0
		for flooding := true; flooding; {
			select {
			case p.in <- text(`[2,"1","Heartbeat",{}]`):
				n++
			case <-p.out:
			case <-p.gone:
				flooding = false
			}
		}
		took := time.Since(start)
		if p.code != ocppj.ClosePolicy || took < 30*time.Second || took > 40*time.Second {
			t.Errorf("closed with %d after %v", p.code, took)
		}
		if most := 20 + int(took.Seconds())*10 + 10; n > most {
			t.Errorf("%d messages read, at most %d allowed", n, most)
		}
		_ = end()
		if e.Counters().Flooded.Load() != 1 || c.Reason() == "" {
			t.Error("not counted, or no reason")
		}
	})
}

func TestFloodDoesNotSlowAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := ocppj.NewEngine(ocppj.Options{Rate: 1, Burst: 1})
		bad, good := newPipe(), newPipe()
		ended := make(chan error, 2)
		for _, p := range []*pipe{bad, good} {
			c := e.NewConn(p, ocppj.Station{})
			go func() { ended <- c.Run(t.Context(), answers(echo)) }()
		}
		for range 2 {
			bad.send(t, `[2,"1","X",{}]`) // its answers are never read either
		}
		start := time.Now()
		good.send(t, `[2,"1","X",{}]`)
		good.expect(t, `[3,"1",{}]`)
		if time.Since(start) != 0 {
			t.Errorf("took %v", time.Since(start))
		}
		bad.Close(1006, "")
		good.Close(1006, "")
		<-ended
		<-ended
	})
}

func TestLiveness(t *testing.T) {
	t.Parallel()
	o := ocppj.Options{Ping: time.Minute, Silence: 5 * time.Minute}
	for name, c := range map[string]struct {
		heartbeat time.Duration
		pong      bool
		want      time.Duration
	}{
		"answers pings, then dies":       {time.Minute, true, 5 * time.Minute},
		"never answered a ping":          {time.Minute, false, 15 * time.Minute},
		"three long heartbeats are kept": {10 * time.Minute, true, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				heard := 0
				p, conn, e, end := run(t, o, ocppj.Station{Heartbeat: c.heartbeat, Heard: func(time.Time) { heard++ }}, echo)
				synctest.Wait()
				if c.pong {
					_ = conn.Pong()
				}
				start := time.Now()
				<-p.gone
				if d := time.Since(start); d < c.want || d > c.want+o.Ping {
					t.Errorf("closed after %v, want about %v", d, c.want)
				}
				_ = end()
				if len(p.pings) == 0 || e.Counters().Dead.Load() != 1 || c.pong != (heard == 1) {
					t.Errorf("pings %d, dead %d, heard %d", len(p.pings), e.Counters().Dead.Load(), heard)
				}
			})
		})
	}
}

func TestHeartbeatsKeepAConnectionWithoutPongs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, _, end := run(t, ocppj.Options{}, ocppj.Station{Heartbeat: time.Minute}, echo)
		for range 24 * 4 {
			time.Sleep(15*time.Minute - time.Second)
			p.send(t, `[2,"1","Heartbeat",{}]`)
			p.expect(t, `[3,"1",{}]`)
		}
		_ = end()
	})
}

// Calls read before the end still take effect, and Run waits for them.
func TestEndWaitsForWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := 0
		p, _, _, end := run(t, ocppj.Options{}, ocppj.Station{}, func(_ context.Context, _ ocppj.Call, out []byte) ([]byte, error) {
			time.Sleep(time.Second)
			done++
			return append(out, '{', '}'), nil
		})
		p.send(t, `[2,"1","StopTransaction",{}]`)
		p.send(t, `[2,"2","StatusNotification",{}]`)
		synctest.Wait()
		p.Close(1006, "")
		_ = end()
		if done != 2 {
			t.Errorf("%d calls took effect, want 2", done)
		}
	})
}

func TestPanicCostsOnlyTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, _, end := run(t, ocppj.Options{}, ocppj.Station{}, func(context.Context, ocppj.Call, []byte) ([]byte, error) {
			panic("a defect")
		})
		p.send(t, `[2,"1","X",{}]`)
		<-p.gone
		_ = end()
		if p.code != ocppj.CloseInternal {
			t.Errorf("closed with %d", p.code)
		}
	})
}
