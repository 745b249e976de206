package alarm_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// mailbox is the receiver outside.
type mailbox struct {
	mu   sync.Mutex
	down bool
	got  []string // guarded by mu: one text per message
}

func (m *mailbox) Send(_ context.Context, msg alarm.Message) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return 503, errors.New("down")
	}
	var parts []string
	for _, i := range msg.Items {
		parts = append(parts, string(i.Kind)+" "+string(i.Alert.Rule))
	}
	m.got = append(m.got, strings.Join(parts, ", "))
	return 200, nil
}

func (m *mailbox) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	got := m.got
	m.got = nil
	return got
}

func (m *mailbox) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

// outer is a transaction as the herald sees it.
type outer struct{ *store.Tx }

func (x outer) AlertRules() alarm.RuleStore  { return store.AlertRulesOf(x.Tx) }
func (x outer) Channels() alarm.ChannelStore { return store.ChannelsOf(x.Tx) }
func (x outer) Notices() alarm.NoticeStore   { return store.NoticesOf(x.Tx) }
func (x outer) Outbox() alarm.Outbox         { return store.OutboxOf(x.Tx) }
func (x outer) Leases() alarm.Conditions     { return store.ConditionsOf(x.Tx) }

type office struct {
	*bench
	box       *mailbox
	sealer    *auth.Sealer
	directory *alarm.Directory
}

func newOffice(t *testing.T, db *store.DB) *office {
	t.Helper()
	sealer, err := auth.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	o := &office{bench: newBench(t, db), box: new(mailbox), sealer: sealer}
	o.directory = &alarm.Directory{Clock: o.clock, Sealer: sealer, Courier: o.box, Transact: func(ctx context.Context, fn func(alarm.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(outer{tx}) })
	}}
	if err := db.Transact(t.Context(), func(tx *store.Tx) error {
		return tx.Tenants().Insert(t.Context(), &tenant.Tenant{Code: "R", Name: "r", Type: tenant.Platform, Enabled: true})
	}); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *office) herald(node string) *alarm.Herald {
	return &alarm.Herald{
		Clock: o.clock, Log: slog.New(slog.DiscardHandler), Node: node, Read: o.db.Reader().Notices(), Sealer: o.sealer, Courier: o.box,
		Transact: func(ctx context.Context, fn func(alarm.HeraldTx) error) error {
			return o.db.Transact(ctx, func(tx *store.Tx) error { return fn(outer{tx}) })
		},
	}
}

func (o *office) channel(change func(*alarm.ChannelChange)) *alarm.Channel {
	o.t.Helper()
	name, url, secret, least, group := "duty", "https://example.com/in", "0123456789abcdef", alarm.Low, 30*time.Second
	c := alarm.ChannelChange{Type: alarm.ByWebhook, Name: &name, URL: &url, Secret: &secret, MinSeverity: &least, Group: &group}
	if change != nil {
		change(&c)
	}
	made, err := o.directory.Create(o.t.Context(), &evcs.Actor{User: 1, Tenant: 1}, 1, c)
	if err != nil {
		o.t.Fatal(err)
	}
	return made
}

func (o *office) raise(rule alarm.Rule, target string) {
	o.t.Helper()
	o.do(func(s alarm.Store) error {
		return alarm.Raise(o.t.Context(), s, alarm.Alert{Tenant: 1, Rule: rule, Target: alarm.Target{Type: "CHARGER", ID: target}}, o.clock.Now())
	})
}

func (o *office) cure(rule alarm.Rule, target string) {
	o.t.Helper()
	o.do(func(s alarm.Store) error {
		return alarm.Cure(o.t.Context(), s, rule, 1, alarm.Target{Type: "CHARGER", ID: target}, "", o.clock.Now())
	})
}

func (o *office) do(fn func(alarm.Store) error) {
	o.t.Helper()
	if err := o.db.Transact(o.t.Context(), func(tx *store.Tx) error { return fn(tx.Alarms()) }); err != nil {
		o.t.Fatal(err)
	}
	if _, err := o.db.Sequence(o.t.Context(), 100); err != nil {
		o.t.Fatal(err)
	}
}

// turn lets a node do everything that is due.
func (o *office) turn(h *alarm.Herald) {
	o.t.Helper()
	for _, step := range []func(context.Context) (int, error){h.Enqueue, h.Repeat, h.Deliver} {
		if _, err := step(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *office) want(what string, want ...string) {
	o.t.Helper()
	if diff := cmp.Diff(want, o.box.take()); diff != "" {
		o.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWhatComesTogetherIsToldTogether(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		o := newOffice(t, db)
		o.channel(nil)
		one, two := o.herald("one"), o.herald("two")
		o.raise(alarm.ChargerFault, "1")
		o.turn(one)
		o.want("within the group's time")
		o.clock.pass(10 * time.Second)
		o.raise(alarm.ChargerOffline, "2")
		o.turn(one)
		o.clock.pass(20 * time.Second)
		var both sync.WaitGroup
		for _, h := range []*alarm.Herald{one, two} {
			both.Go(func() { o.turn(h) })
		}
		both.Wait()
		o.want("after it", "RAISED ChargerFault, RAISED ChargerOffline")
		o.raise(alarm.ChargerFault, "1") // counted, not told again
		o.cure(alarm.ChargerOffline, "2")
		o.turn(two)
		o.clock.pass(time.Minute)
		o.turn(two)
		o.want("its end", "RESOLVED ChargerOffline")
	})
}

func TestABlipIsNotToldButACriticalOneIs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storetest.SQLite(t))
	o.channel(nil)
	h := o.herald("one")
	for _, rule := range []alarm.Rule{alarm.ChargerFault, alarm.CallbackRejected} {
		o.raise(rule, "1")
		o.turn(h)
		o.cure(rule, "1")
		o.turn(h)
	}
	o.clock.pass(time.Minute)
	o.turn(h)
	o.want("over before it was told", "RAISED CallbackRejected, RESOLVED CallbackRejected")
}

func TestRepeatsUntilSomebodyCares(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storetest.SQLite(t))
	o.channel(nil)
	h := o.herald("one")
	o.raise(alarm.ChargerFault, "1")
	o.raise(alarm.CallbackRejected, "9")
	var told []string
	for range 5 * 60 {
		o.turn(h)
		o.clock.pass(time.Minute)
	}
	told = o.box.take()
	count := func(text string) int {
		n := 0
		for _, m := range told {
			n += strings.Count(m, text)
		}
		return n
	}
	if count("RAISED") != 2 || count("REPEATED ChargerFault") != 1 || count("REPEATED CallbackRejected") != 4 {
		t.Errorf("in five hours: %v", told)
	}
	a := o.open(1, alarm.CallbackRejected, alarm.Target{Type: "CHARGER", ID: "9"})
	o.do(func(s alarm.Store) error {
		return alarm.Acknowledge(t.Context(), s, &evcs.Actor{User: 5}, a, "", o.clock.Now())
	})
	for range 3 * 60 {
		o.turn(h)
		o.clock.pass(time.Minute)
	}
	if told = o.box.take(); count("CallbackRejected") != 0 {
		t.Errorf("after it was acknowledged: %v", told)
	}
}

func TestACriticalAlertMutesLowerOnesOfItsTarget(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storetest.SQLite(t))
	o.channel(nil)
	h := o.herald("one")
	o.raise(alarm.CallbackRejected, "1")
	o.raise(alarm.ChargerFault, "1")
	o.raise(alarm.ChargerFault, "2")
	o.turn(h)
	o.clock.pass(time.Minute)
	o.turn(h)
	o.want("one target", "RAISED CallbackRejected, RAISED ChargerFault")
}

func TestQuietHours(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storetest.SQLite(t))
	o.channel(func(c *alarm.ChannelChange) { c.Quiet = &[2]string{"22:00", "07:00"} })
	h := o.herald("one")
	o.clock.pass(12 * time.Hour) // midnight in Shanghai
	o.raise(alarm.ChargerFault, "1")
	o.raise(alarm.ChargerOffline, "2")
	o.raise(alarm.CallbackRejected, "9")
	for range 60 {
		o.turn(h)
		o.clock.pass(time.Minute)
	}
	if got := o.box.take(); len(got) == 0 || slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, "Charger") }) {
		t.Errorf("at night: %v", got)
	}
	o.cure(alarm.ChargerOffline, "2")
	o.turn(h)
	o.clock.pass(5*time.Hour + 58*time.Minute)
	o.turn(h)
	o.box.take() // the critical one repeats
	o.clock.pass(3 * time.Minute)
	o.turn(h)
	if got := strings.Join(o.box.take(), "; "); !strings.Contains(got, "RAISED ChargerFault") || strings.Contains(got, "ChargerOffline") {
		t.Errorf("in the morning: %v", got)
	}
}

func TestADeadReceiverLosesNothingForADay(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storetest.SQLite(t))
	c := o.channel(nil)
	o.box.set(true)
	o.raise(alarm.ChargerFault, "1")
	for range 20 {
		o.turn(o.herald("one")) // a restart each time
		o.clock.pass(time.Hour)
	}
	after, err := o.db.Reader().Channels().Channel(t.Context(), evcs.Only(1), c.ID)
	if err != nil || after.LastError == "" || !after.LastSuccess.IsZero() {
		t.Errorf("channel: %+v %v", after, err)
	}
	o.box.set(false)
	o.turn(o.herald("two"))
	if got := o.box.take(); len(got) != 1 || !strings.HasPrefix(got[0], "RAISED ChargerFault") {
		t.Errorf("after 20 hours: %v", got)
	}
	o.box.set(true)
	o.raise(alarm.CallbackRejected, "9")
	for range 30 {
		o.turn(o.herald("one"))
		o.clock.pass(time.Hour)
	}
	a := o.open(1, alarm.CallbackRejected, alarm.Target{Type: "CHARGER", ID: "9"})
	notices, err := o.db.Reader().Notices().OfAlert(t.Context(), evcs.Only(1), a.ID)
	if err != nil || len(notices) == 0 || notices[0].State != alarm.NoticeFailed {
		t.Errorf("after a day: %+v %v", notices, err)
	}
}

func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	o := newOffice(t, storetest.SQLite(t))
	url := "https://oapi.dingtalk.com/robot/send?access_token=hidden"
	c := o.channel(func(n *alarm.ChannelChange) { n.Type, n.URL = alarm.ByDingTalk, &url })
	if strings.Contains(c.URLShown+c.Sealed+c.SecretPrint, "hidden") || strings.Contains(c.Sealed, "0123456789abcdef") || c.URLShown != "https://oapi.dingtalk.com/robot/send?***" {
		t.Errorf("shown: %+v", c)
	}
	shown, least := c.URLShown, alarm.High
	changed, err := o.directory.Change(t.Context(), &evcs.Actor{User: 1, Tenant: 1}, 1, c.ID, alarm.ChannelChange{URL: &shown, MinSeverity: &least})
	if err != nil {
		t.Fatal(err)
	}
	if to, err := changed.Endpoint(o.sealer); err != nil || to.URL != url || to.Secret != "0123456789abcdef" {
		t.Errorf("a URL as it is shown changed the stored one: %+v %v", to, err)
	}
}
