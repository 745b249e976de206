package chargersim

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

func chargers(n int) []ChargerConfig {
	list := make([]ChargerConfig, n)
	for i := range list {
		list[i] = ChargerConfig{DeviceID: fmt.Sprintf("CP-%03d", i+1), Secret: "secret", Kind: Kinds()[i%len(Kinds())], Connectors: 1 + i%2}
	}
	return list
}

// play runs a fleet to its end inside a bubble and returns its journal.
func play(t *testing.T, cfg Config, s *csms) *Fleet {
	t.Helper()
	fleet, err := New(s.serve(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 48*time.Hour)
	defer cancel()
	if err := fleet.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return fleet
}

func counted(sessions int) *Scenario {
	s := Scenarios()["busy"]
	s.Sessions = sessions
	return &s
}

// pass lets d pass in the bubble.
func pass(d time.Duration) { <-time.NewTimer(d).C }

// agree compares the truth with what the fake server remembers.
func agree(t *testing.T, fleet *Fleet, s *csms, sessions int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	truth := fleet.Journal().Sessions()
	if len(truth) != sessions || len(s.starts) != sessions || len(s.stops) != sessions {
		t.Errorf("journal has %d sessions, server %d starts and %d stops, want %d", len(truth), len(s.starts), len(s.stops), sessions)
	}
	for _, session := range truth {
		if session.Start == nil || session.Stop == nil {
			t.Errorf("%s: start or stop is missing", session.Local)
			continue
		}
		for _, stop := range s.stops[session.Transaction] {
			if stop*10 != int64(session.Stop.Register) {
				t.Errorf("%s: server heard %d Wh, journal %s kWh", session.Local, stop, session.Stop.Register)
			}
		}
		last := session.Start.Register
		for _, sample := range session.Samples {
			if sample.Register < last && session.Tampered == "" {
				t.Errorf("%s: register falls from %s to %s", session.Local, last, sample.Register)
			}
			last = sample.Register
		}
	}
	if v := fleet.Journal().Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
	if r := fleet.Journal().Refused(); len(r) > 0 {
		t.Errorf("refused: %v", r)
	}
}

func TestFleetTellsEverySessionOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		fleet := play(t, Config{Chargers: chargers(6), Seed: 7, Speed: 60, Lead: 5 * time.Hour, Scenario: counted(3)}, s)
		agree(t, fleet, s, 27)
		for _, session := range fleet.Journal().Sessions() {
			if session.Energy() < 0 || session.Stop.Time.Before(session.Start.Time) {
				t.Errorf("%s: %s kWh from %v to %v", session.Local, session.Energy(), session.Start.Time, session.Stop.Time)
			}
		}
	})
}

func TestEqualSeedsTellEqualStories(t *testing.T) {
	t.Parallel()
	story := func(seed uint64) (entries []journal.Entry) {
		synctest.Test(t, func(t *testing.T) {
			s := newCSMS(t)
			fleet := play(t, Config{
				Chargers: chargers(3), Seed: seed, Speed: 30, Lead: time.Hour, Scenario: counted(2),
				Faults: FaultPlan{FaultMeterReset: 40, FaultDuplicate: 10},
			}, s)
			for _, session := range fleet.Journal().Sessions() {
				entries = append(entries, *session.Start, *session.Stop)
			}
		})
		return entries
	}
	same := cmpopts.IgnoreFields(journal.Entry{}, "Seq", "Transaction", "Answered", "Attempts")
	if diff := cmp.Diff(story(3), story(3), same); diff != "" {
		t.Errorf("two stories of one seed (-first +second):\n%s", diff)
	}
	if cmp.Equal(story(3), story(4), same) {
		t.Error("two seeds told the same story")
	}
}

func TestHonestFaultsFalsifyNothing(t *testing.T) {
	t.Parallel()
	for _, fault := range append(HonestFaults(), "honest") {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			rate := "=6"
			if fault == FaultLateStop || fault == FaultStopTwice || fault == FaultStartStatus {
				rate = "=2" // few messages are of its kind
			}
			plan, err := ParseFaults(string(fault) + rate)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				s := newCSMS(t)
				fleet := play(t, Config{
					Chargers: chargers(4), Seed: 11, Speed: 60, Lead: 6 * time.Hour, Scenario: counted(3), Faults: plan,
					AnswerTimeout: 4 * time.Second,
				}, s)
				agree(t, fleet, s, 18)
				for _, session := range fleet.Journal().Sessions() {
					if session.Tampered != "" {
						t.Errorf("%s was falsified by %s", session.Local, session.Tampered)
					}
				}
				if fault != "honest" && fleet.Counts()["fault "+string(fault)] == 0 {
					t.Errorf("the fault never happened: %v", fleet.Counts())
				}
			})
		})
	}
}

func TestFalsifyingFaultsAreMarked(t *testing.T) {
	t.Parallel()
	for _, fault := range AllFaults() {
		if slices.Contains(HonestFaults(), fault) || fault == FaultWrongBill { // the session itself is true
			continue
		}
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newCSMS(t)
				fleet := play(t, Config{
					Chargers: chargers(4), Seed: 5, Speed: 60, Lead: 6 * time.Hour, Scenario: counted(2), Faults: FaultPlan{fault: 6},
				}, s)
				marked := 0
				for _, session := range fleet.Journal().Sessions() {
					if session.Tampered == string(fault) {
						marked++
					}
				}
				if marked == 0 {
					t.Errorf("no session is marked; counts %v", fleet.Counts())
				}
			})
		})
	}
}

// manual starts a fleet of one charger and returns it with a way to end it.
func manual(t *testing.T, s *csms, cfg Config) (*Fleet, *Charger, func()) {
	t.Helper()
	cfg.Chargers = []ChargerConfig{{DeviceID: "CP-1", Secret: "secret", Kind: "DC120", Connectors: 2}}
	cfg.PlainTimes = true
	fleet, err := New(s.serve(cfg))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx) }()
	end := func() {
		t.Helper()
		must(t, fleet.WindUp(ctx))
		if err := <-done; err != nil {
			t.Error(err)
		}
		cancel()
	}
	return fleet, fleet.Charger("CP-1"), end
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, c *Charger, is func(Snapshot) bool) Snapshot {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	defer cancel()
	seen, err := c.Await(ctx, is)
	if err != nil {
		t.Fatalf("%v; last seen %+v", err, seen)
	}
	return seen
}

func TestLocalSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		fleet, c, end := manual(t, s, Config{})
		ctx := t.Context()
		await(t, c, Connected)
		must(t, c.Plug(ctx, 1))
		must(t, c.StartLocal(ctx, 1, "TAG1"))
		seen := await(t, c, Charging(1))
		if seen.Connectors[0].Transaction != 101 || seen.Connectors[0].State != "Charging" {
			t.Errorf("charging as %+v", seen.Connectors[0])
		}
		pass(10*time.Minute + time.Second) // of the bubble: the car charges
		must(t, c.StopLocal(ctx, 1))
		await(t, c, Idle(1))
		must(t, c.Unplug(ctx, 1))
		end()
		agree(t, fleet, s, 1)
		session := fleet.Journal().Sessions()[0]
		if len(session.Samples) != 10 {
			t.Errorf("%d samples in ten minutes, want 10", len(session.Samples))
		}
		// 120 kW for 601 s is 20.03 kWh; a DC curve gives no more and, half empty, not much less.
		if e := session.Energy(); e > 20_0400 || e < 8*journal.KWh {
			t.Errorf("energy %s kWh", e)
		}
	})
}

func TestOfflineSessionIsReplayedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		fleet, c, end := manual(t, s, Config{})
		ctx := t.Context()
		await(t, c, Connected)
		must(t, c.GoOffline(ctx))
		for range 2 {
			must(t, c.StartLocal(ctx, 1, "TAG1"))
			pass(3*time.Minute + time.Second)
			must(t, c.StopLocal(ctx, 1))
			must(t, c.Unplug(ctx, 1))
			pass(time.Minute)
		}
		if got := c.Snapshot().Queued; got != 10 {
			t.Errorf("%d messages queued, want 2 starts, 6 meter values, 2 stops", got)
		}
		must(t, c.GoOnline(ctx))
		await(t, c, Drained)
		end()
		agree(t, fleet, s, 2)
		var kinds []string
		for _, e := range fleet.Journal().Entries() {
			kinds = append(kinds, string(e.Kind))
			if !e.Offline {
				t.Errorf("%s %s is not marked as offline", e.Local, e.Kind)
			}
		}
		want := strings.Fields(strings.Repeat("START "+strings.Repeat("METER ", 3)+"STOP ", 2))
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("order of the replay (-want +got):\n%s", diff)
		}
	})
}

func TestUnansweredMessagesAreRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		refusals := map[string]int{}
		s.answer = func(c call) (any, string, bool) {
			if c.action != "StartTransaction" && c.action != "StopTransaction" || refusals[c.action] >= 4 {
				return nil, "", false
			}
			refusals[c.action]++
			if refusals[c.action]%2 == 0 {
				return nil, "", true // silence
			}
			return nil, "InternalError", true
		}
		fleet, c, end := manual(t, s, Config{AnswerTimeout: 2 * time.Second})
		await(t, c, Connected)
		must(t, c.StartLocal(t.Context(), 2, "TAG1"))
		await(t, c, Charging(2))
		must(t, c.StopLocal(t.Context(), 2))
		await(t, c, Idle(2))
		end()
		agree(t, fleet, s, 1)
		for _, e := range fleet.Journal().Entries() {
			if e.Attempts != 5 {
				t.Errorf("%s was answered at attempt %d, want 5", e.Kind, e.Attempts)
			}
		}
	})
}

func TestBrokenPromiseIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		given := 0
		s.answer = func(c call) (any, string, bool) {
			if c.action != "StartTransaction" {
				return nil, "", false
			}
			given++
			return map[string]any{"transactionId": given, "idTagInfo": map[string]any{"status": "Accepted"}}, "", true
		}
		fleet, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		must(t, c.Inject(t.Context(), FaultDuplicate))
		must(t, c.StartLocal(t.Context(), 1, "TAG1"))
		await(t, c, Charging(1))
		end()
		if v := fleet.Journal().Violations(); len(v) != 1 || !strings.Contains(v[0], "repeated start got transaction 2") {
			t.Errorf("violations %q", v)
		}
	})
}

func TestRefusedTag(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		invalid := map[string]any{"idTagInfo": map[string]any{"status": "Invalid"}}
		s.answer = func(c call) (any, string, bool) { return invalid, "", c.action == "Authorize" }
		fleet, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		must(t, c.StartLocal(t.Context(), 1, "BAD"))
		s.heardOf("Authorize")
		synctest.Wait()
		if c.Snapshot().Sessions != 0 {
			t.Error("a refused tag began a session")
		}
		end()
		agree(t, fleet, s, 0)
	})
}

// sequence is what a charger was heard to say, by action, from the n-th call on.
func (s *csms) sequence(n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, c := range s.calls[n:] {
		list = append(list, c.action)
	}
	return list
}

// TestAStopIsSaidTwiceInARow: two ids, the first with its reason, the second
// without, and the second before the first is answered.
func TestAStopIsSaidTwiceInARow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		fleet, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		must(t, c.StartLocal(t.Context(), 1, "TAG1"))
		await(t, c, Charging(1))
		must(t, c.Inject(t.Context(), FaultStopTwice))
		must(t, c.StopLocal(t.Context(), 1))
		await(t, c, Idle(1))
		end()
		agree(t, fleet, s, 1)
		var stops []call
		for _, c := range s.calls {
			if c.action == "StopTransaction" {
				stops = append(stops, c)
			}
		}
		if len(stops) != 2 || stops[0].id == stops[1].id || stops[0].payload["reason"] != "Local" || stops[1].payload["reason"] != nil {
			t.Errorf("stopped with %+v", stops)
		}
	})
}

// TestTheStateComesRightBehindAStart, before the start is answered.
func TestTheStateComesRightBehindAStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		waited := make(chan struct{})
		s.answer = func(c call) (any, string, bool) { return nil, "", c.action == "StartTransaction" && !isClosed(waited) } // silence
		_, c, end := manual(t, s, Config{AnswerTimeout: 10 * time.Second})
		await(t, c, Connected)
		must(t, c.GoOffline(t.Context())) // so that no tag is asked about
		must(t, c.Inject(t.Context(), FaultStartStatus))
		must(t, c.StartLocal(t.Context(), 1, "TAG1"))
		must(t, c.GoOnline(t.Context()))
		s.heardOf("StartTransaction")
		next := s.heardOf("StatusNotification")
		if next.payload["status"] != "Charging" {
			t.Errorf("behind the start came %+v", next)
		}
		close(waited)
		await(t, c, Charging(1))
		end()
	})
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// TestALateStopComesAfterTheState: the connection is back when the next session
// has begun; state, old stop, next start.
func TestALateStopComesAfterTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		cfg := Config{
			Chargers: []ChargerConfig{{DeviceID: "CP-1", Secret: "secret"}}, Seed: 2, Speed: 60, Lead: 5 * time.Hour, PlainTimes: true,
			Scenario: &Scenario{Sessions: 2, Stay: [2]time.Duration{5 * time.Minute, 5 * time.Minute}, Tags: []string{"T"}}, Faults: FaultPlan{FaultLateStop: 1},
		}
		fleet := play(t, cfg, s)
		agree(t, fleet, s, 2)
		text := strings.Join(s.sequence(0), " ")
		if !regexp.MustCompile(`StatusNotification (MeterValues )*StopTransaction StartTransaction`).MatchString(text) {
			t.Errorf("heard %s", text)
		}
	})
}

// TestComingBackWithoutBoot and with message ids that begin again at 1.
func TestComingBackWithoutBoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newCSMS(t)
		_, c, end := manual(t, s, Config{})
		await(t, c, Connected)
		must(t, c.StartLocal(t.Context(), 1, "TAG1"))
		await(t, c, Charging(1))
		for range 6 {
			n := len(s.sequence(0))
			must(t, c.Inject(t.Context(), FaultNoBoot))
			pass(2 * time.Minute) // a meter value meets it
			await(t, c, Drained)
			if heard := s.sequence(n); slices.Contains(heard, "BootNotification") || !slices.Contains(heard, "StatusNotification") {
				t.Errorf("came back with %v", heard)
			}
		}
		n := len(s.sequence(0))
		must(t, c.Inject(t.Context(), FaultIDsFromOne))
		pass(2 * time.Minute)
		await(t, c, Drained)
		s.mu.Lock()
		again := s.calls[n]
		s.mu.Unlock()
		if again.action != "BootNotification" || again.id != "1" {
			t.Errorf("came back as %+v", again)
		}
		end()
	})
}
