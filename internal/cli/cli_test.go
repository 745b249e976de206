package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write docs/cli anew")

var present = time.Date(2026, 2, 10, 10, 35, 0, 0, time.UTC)

// scripted is a server that answers by method and path; every answer must be
// asked for.
type scripted struct {
	t       *testing.T
	mu      sync.Mutex
	answers map[string]answer
	asked   map[string]request
}

type answer struct {
	status int
	code   int
	data   string
}

type request struct {
	query  string
	body   string
	header http.Header
}

func script(t *testing.T, answers map[string]answer) (*scripted, string) {
	t.Helper()
	s := &scripted{t: t, answers: answers, asked: map[string]request{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.Method + " " + r.URL.Path
	a, known := s.answers[name]
	if !known {
		s.t.Errorf("nobody expected %s", name)
		a = answer{status: 404, code: 9404, data: "null"}
	}
	body, _ := io.ReadAll(r.Body)
	s.asked[name] = request{r.URL.RawQuery, string(body), r.Header}
	w.Header().Set("Content-Type", "application/json")
	if a.status == 0 {
		fmt.Fprintf(w, `{"code":200,"message":"OK","data":%s,"timestamp":"2026-02-10T10:35:00Z","traceId":"t"}`, a.data)
		return
	}
	w.WriteHeader(a.status)
	fmt.Fprintf(w, `{"code":%d,"message":"Refused","data":%s,"timestamp":"2026-02-10T10:35:00Z","path":%q,"traceId":"t"}`, a.code, a.data, r.URL.Path)
}

// outcome is what a run left behind.
type outcome struct {
	code     int
	out, err string
}

// run runs one command line with a home of its own.
func run(t *testing.T, vars map[string]string, in string, args ...string) outcome {
	t.Helper()
	var out, errOut bytes.Buffer
	code := Main(t.Context(), Program{
		Args: args, In: strings.NewReader(in), Out: &out, Err: &errOut, Now: func() time.Time { return present },
		Getenv: func(name string) string { return vars[name] }, Version: Version{Version: "1.0.0"},
	})
	return outcome{code, out.String(), errOut.String()}
}

func signedIn(t *testing.T, server string) map[string]string {
	t.Helper()
	return map[string]string{"XDG_CONFIG_HOME": t.TempDir(), "EVCS_SERVER": server, "EVCS_TOKEN": "key", "LANG": "en_US.UTF-8"}
}

const twoStations = `{"records":[{"stationId":7,"stationCode":"SZ-FT-01","stationName":"福田中心站","city":"深圳市","status":1,"totalChargers":8,"availableChargers":5,"chargingChargers":2,"faultChargers":0,"offlineChargers":1,"facilities":[],"createTime":"2026-01-05T02:00:00Z","updateTime":"2026-01-05T02:00:00Z"},{"stationId":8,"stationCode":"X","stationName":"=cmd\t1","city":null,"status":0,"facilities":[],"createTime":"2026-01-05T02:00:00Z","updateTime":"2026-01-05T02:00:00Z"}],"total":2,"size":30,"current":1,"pages":1}`

func TestFormsOfAList(t *testing.T) {
	t.Parallel()
	_, server := script(t, map[string]answer{"GET /api/station": {data: twoStations}})
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "7\tSZ-FT-01\t福田中心站\t深圳市\t1\t8\t5\t2\t0\t1\n8\tX\t=cmd 1\t\t0\t0\t0\t0\t0\t0\n"},
		{[]string{"-o", "csv"}, "stationId,stationCode,stationName,city,status,totalChargers,availableChargers,chargingChargers,faultChargers,offlineChargers\n7,SZ-FT-01,福田中心站,深圳市,1,8,5,2,0,1\n8,X,'=cmd\t1,,0,0,0,0,0,0\n"},
		{[]string{"--jq", ".[].stationCode"}, "SZ-FT-01\nX\n"},
		{[]string{"--template", `{{range .}}{{.stationId}} {{end}}`}, "7 8 "},
		{[]string{"-o", "table", "--lang", "zh"}, "编号  编码      名称        城市    状态  桩数  空闲  充电  故障  离线\n7     SZ-FT-01  福田中心站  深圳市  启用  8     5     2     0     1\n8     X         =cmd 1      -       停用  0     0     0     0     0\n"},
	} {
		got := run(t, signedIn(t, server), "", append([]string{"station", "list"}, c.args...)...)
		if diff := cmp.Diff(outcome{0, c.want, ""}, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("%v: %s", c.args, diff)
		}
	}
}

func TestAnEmptyListIsAnEmptyList(t *testing.T) {
	t.Parallel()
	_, server := script(t, map[string]answer{"GET /api/order": {data: `{"records":[],"total":0,"size":30,"current":1,"pages":0}`}})
	for form, want := range map[string]string{"json": "[]\n", "yaml": "[]\n", "tsv": "", "table": ""} {
		if got := run(t, signedIn(t, server), "", "order", "ls", "-o", form); got.out != want || got.code != 0 {
			t.Errorf("%s: got %+v", form, got)
		}
	}
}

func TestAmountsKeepTheirDecimals(t *testing.T) {
	t.Parallel()
	_, server := script(t, map[string]answer{"GET /api/dashboard/stats": {data: `{"todayChargingAmount":5120.4400,"todayRevenue":6120.30}`}})
	for form, want := range map[string]string{"json": `"todayRevenue": 6120.30,`, "yaml": "todayRevenue: 6120.30\n", "tsv": "todayRevenue\t6120.30\n"} {
		if got := run(t, signedIn(t, server), "", "dashboard", "-o", form); !strings.Contains(got.out, want) {
			t.Errorf("%s: got %s", form, got.out)
		}
	}
	if got := run(t, signedIn(t, server), "", "dashboard", "--jq", ".todayChargingAmount"); !strings.HasPrefix(got.out, "5120.44") {
		t.Errorf("got %q", got.out)
	}
}

func TestExitCodesFollowTheTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ status, code, want int }{
		{400, 9400, 2}, {413, 9413, 2}, {401, 6006, 4}, {403, 9403, 4}, {404, 1002, 5}, {409, 1001, 6}, {409, 2004, 7}, {429, 9429, 7}, {503, 2010, 7}, {500, 9999, 1},
	} {
		_, server := script(t, map[string]answer{"PUT /api/station/7/status": {c.status, c.code, `{"stationId":7}`}})
		got := run(t, signedIn(t, server), "", "station", "enable", "7")
		if got.code != c.want || !strings.Contains(got.err, fmt.Sprintf("(%d)", c.code)) || !strings.Contains(got.err, "stationId: 7") {
			t.Errorf("%d %d: got %+v, want %d", c.status, c.code, got, c.want)
		}
		if got := run(t, signedIn(t, server), "", "station", "enable", "7", "-o", "json"); !json.Valid([]byte(got.err)) {
			t.Errorf("not the envelope: %s", got.err)
		}
	}
}

func TestWrongUsageIsRefusedBeforeAnythingIsSent(t *testing.T) {
	t.Parallel()
	_, server := script(t, nil)
	for _, args := range [][]string{
		{"nonsense"},
		{"station", "nonsense"},
		{"station", "list", "--nonsense"},
		{"station", "show"},
		{"station", "show", "x"},
		{"station", "show", "-1"},
		{"station", "list", "-o", "xml"},
		{"station", "list", "--limit", "0"},
		{"station", "list", "--jq", ".", "-o", "csv"},
		{"station", "create", "--code", "A"},
		{"station", "update", "7"},
		{"station", "update", "7", "--set", "nonsense=1"},
		{"station", "update", "7", "--type", "one"},
		{"charger", "create", "--station", "1", "--code", "A", "--name", "A", "--type", "1", "--power", "60.1234"},
		{"charger", "reset", "10001"},
		{"charger", "set-status", "10001", "charging"},
		{"charger", "start", "10001", "0"},
		{"charger", "start", "10001", "1", "--wait", "500ms"},
		{"refund", "create", "318", "--amount", "1.001", "--reason", "x", "--yes"},
		{"refund", "create", "--amount", "1", "--reason", "x", "--yes"},
		{"reconcile", "execute", "sandbox", "2026-2-9"},
		{"plan", "quote", "1", "--from", "2026-02-10T18:30:00", "--to", "2026-02-10T18:30:00Z", "--energy", "1"},
		{"api", "GET", "nopath"},
		{"login"},
		{"login", "admin@tenant1"},
		{"--tenant", "-3", "station", "list"},
		{"--context", "nowhere", "station", "list"},
		{"--server", "nowhere", "station", "list"},
	} {
		if got := run(t, signedIn(t, server), "", args...); got.code != exitUsage || got.out != "" || got.err == "" {
			t.Errorf("%v: got %+v", args, got)
		}
	}
}

func TestLoginStoresTokensForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	s, server := script(t, map[string]answer{
		"POST /api/auth/login":   {data: `{"token":"T","expireTime":"2026-02-10T12:35:00Z","refreshToken":"R","refreshExpireTime":"2026-02-17T10:35:00Z","userInfo":{"userId":1,"username":"admin","tenantId":1,"identifier":"admin@tenant1","roles":["ADMIN"]}}`},
		"GET /api/auth/userinfo": {data: `{"userId":1,"identifier":"admin@tenant1"}`},
		"POST /api/auth/logout":  {data: `null`},
	})
	vars := signedIn(t, server)
	delete(vars, "EVCS_TOKEN")
	if got := run(t, vars, "", "whoami"); got.code != exitDenied {
		t.Fatalf("before: %+v", got)
	}
	if got := run(t, vars, "se cret\r\n", "login", "admin@tenant1", "--password-stdin"); got.code != 0 || got.out != "" {
		t.Fatalf("login: %+v", got)
	}
	if body := s.asked["POST /api/auth/login"].body; body != `{"identifier":"admin@tenant1","password":"se cret"}` {
		t.Errorf("sent %s", body)
	}
	path := filepath.Join(vars["XDG_CONFIG_HOME"], "evcsctl", "tokens.json")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if got := run(t, vars, "", "whoami", "--jq", ".identifier"); got.out != "admin@tenant1\n" || s.asked["GET /api/auth/userinfo"].header.Get("Authorization") != "Bearer T" {
		t.Errorf("whoami: %+v", got)
	}
	if got := run(t, vars, "", "--server", "http://127.0.0.1:1", "whoami"); got.code != exitDenied {
		t.Errorf("the token was shown to another server: %+v", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := run(t, vars, "", "whoami"); got.code != exitFailed || !strings.Contains(got.err, "chmod 600") {
		t.Errorf("loose file: %+v", got)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, vars, "", "logout"); got.code != 0 {
		t.Errorf("logout: %+v", got)
	}
	if text, _ := os.ReadFile(path); strings.Contains(string(text), "T") {
		t.Errorf("still there: %s", text)
	}
}

func TestBodiesComeFromFlagsSetsAndFiles(t *testing.T) {
	t.Parallel()
	s, server := script(t, map[string]answer{
		"POST /api/billing/plan": {data: `{"planId":3}`}, "PUT /api/station/7": {data: `{"stationId":7}`}, "POST /api/tenant": {data: `{"tenantId":12}`},
	})
	file := filepath.Join(t.TempDir(), "plan.yaml")
	plan := "name: Day\ncode: D\nsegments:\n  - {startTime: \"00:00\", endTime: \"24:00\", periodKind: FLAT, energyPrice: 0.80, serviceFee: 0.4}\n"
	if err := os.WriteFile(file, []byte(plan), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, signedIn(t, server), "", "plan", "create", "--file", file, "--name", "Night", "--tenant", "3"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	want := `{"name":"Night","code":"D","segments":[{"segmentIndex":0,"startTime":"00:00","endTime":"24:00","periodKind":"FLAT","energyPrice":0.8000,"serviceFee":0.4000}],"tenantId":3}`
	if got := s.asked["POST /api/billing/plan"]; got.body != want || got.header.Get("Idempotency-Key") == "" {
		t.Errorf("sent %+v", got)
	}
	if got := run(t, signedIn(t, server), "", "station", "update", "7", "--set", "remark=null", "--set", "operatorPhone=13800138000", "--latitude", "22.5405"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	if got, want := s.asked["PUT /api/station/7"].body, `{"latitude":22.5405,"operatorPhone":"13800138000","remark":null}`; got != want {
		t.Errorf("sent %s", got)
	}
	if got := run(t, signedIn(t, server), "", "tenant", "create", "--code", "FT", "--name", "福田", "--contact", "李雷", "--phone", "13800138000", "--type", "2", "--admin", "li"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	if got := s.asked["POST /api/tenant"]; !strings.Contains(got.body, `"admin":{"username":"li"}`) || got.header.Get("Idempotency-Key") != "" {
		t.Errorf("a secret that is shown once was sent with a key: %+v", got)
	}
}

func TestAPaymentTakesWhatIsPayable(t *testing.T) {
	t.Parallel()
	s, server := script(t, map[string]answer{
		"GET /api/order/318": {data: `{"orderId":318,"payableAmount":61.38}`}, "POST /api/payment/create": {data: `{"paymentId":205,"tradeNo":"EV1","amount":61.38}`},
	})
	if got := run(t, signedIn(t, server), "", "payment", "create", "318", "--method", "SANDBOX", "--key", "pay-318-1"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	got := s.asked["POST /api/payment/create"]
	if got.body != `{"orderId":318,"amount":61.38,"paymentMethod":"SANDBOX","idempotentKey":"pay-318-1"}` || got.header.Get("Idempotency-Key") != "pay-318-1" {
		t.Errorf("sent %+v", got)
	}
}

func TestReconcileDailySpeaksOfTheDay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer answer
		want   int
	}{
		{answer{data: `{"batchId":41,"status":"SUCCESS"}`}, 0},
		{answer{data: `{"batchId":41,"status":"PARTIAL"}`}, 6},
		{answer{data: `{"batchId":41,"status":"RUNNING"}`}, 7},
		{answer{503, 4011, `{"batchId":41,"status":"FAILED","totalCount":214}`}, 7},
		{answer{409, 4012, `{"batchId":41,"status":"FAILED"}`}, 1},
		{answer{409, 4014, `{"batchId":41}`}, 6},
		{answer{403, 9403, `{"permission":"reconciliation:execute"}`}, 4},
	} {
		_, server := script(t, map[string]answer{"POST /api/reconciliation/daily/sandbox": c.answer})
		got := run(t, signedIn(t, server), "", "reconcile", "daily", "sandbox")
		if got.code != c.want || (got.code == 0) != (got.err == "") {
			t.Errorf("%+v: got %+v, want %d", c.answer, got, c.want)
		}
	}
}

func TestLongListsAreReadByCursor(t *testing.T) {
	t.Parallel()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		next := `"c1"`
		if r.URL.Query().Get("cursor") == "c1" {
			next = "null"
		}
		fmt.Fprintf(w, `{"code":200,"message":"","data":{"records":[{"alertId":%d}],"size":100,"total":null,"current":null,"pages":null,"nextCursor":%s},"timestamp":"2026-02-10T10:35:00Z","traceId":""}`, calls, next)
	}))
	t.Cleanup(server.Close)
	if got := run(t, signedIn(t, server.URL), "", "alert", "list", "-L", "1000", "--jq", ".[].alertId"); got.out != "1\n2\n" || calls != 2 {
		t.Errorf("got %+v after %d calls", got, calls)
	}
}

func TestFollowedEventsAreOnePerLine(t *testing.T) {
	t.Parallel()
	opened := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if opened++; opened > 1 {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":6006,"message":"x","data":null}`)
			return
		}
		_, _ = io.WriteString(w, "id: 5\nevent: order.status\ndata: {\"eventId\":5,\"type\":\"order.status\",\"time\":\"2026-02-10T10:35:00.000Z\",\"data\":{\"before\":1}}\n\n")
	}))
	t.Cleanup(server.Close)
	got := run(t, signedIn(t, server.URL), "", "event", "follow", "-o", "json")
	if got.code != exitDenied || strings.Count(got.out, "\n") != 1 || !json.Valid([]byte(got.out)) {
		t.Errorf("got %+v", got)
	}
}

func TestSimulateHandsOver(t *testing.T) {
	t.Parallel()
	var given []string
	code := Main(t.Context(), Program{
		Args: []string{"simulate", "--chargers", "3", "-o", "x"}, In: strings.NewReader(""), Out: io.Discard, Err: io.Discard,
		Getenv: func(string) string { return "" }, Now: func() time.Time { return present },
		Simulate: func(_ context.Context, args []string, _, _ io.Writer, _ func(*cobra.Command)) int {
			given = args
			return 3
		},
	})
	if diff := cmp.Diff([]string{"--chargers", "3", "-o", "x"}, given); diff != "" || code != 3 {
		t.Errorf("code %d, %s", code, diff)
	}
}

func TestGatewayHandsOver(t *testing.T) {
	t.Parallel()
	var given []string
	code := Main(t.Context(), Program{
		Args: []string{"gateway", "pay", "EV1", "--outcome", "LATE"}, In: strings.NewReader(""), Out: io.Discard, Err: io.Discard,
		Getenv: func(string) string { return "" }, Now: func() time.Time { return present },
		Gateway: func(_ context.Context, args []string, _, _ io.Writer, now func() time.Time, _ func(*cobra.Command)) int {
			given = args
			if !now().Equal(present) {
				t.Error("another clock")
			}
			return 7
		},
	})
	if diff := cmp.Diff([]string{"pay", "EV1", "--outcome", "LATE"}, given); diff != "" || code != 7 {
		t.Errorf("code %d, %s", code, diff)
	}
}

// TestDocsDescribeEveryCommand prints docs/cli from the commands and fails when
// the files differ; -update writes them.
func TestDocsDescribeEveryCommand(t *testing.T) {
	t.Parallel()
	pages := map[string]string{}
	root := newRoot(newEnv(Program{Getenv: func(string) string { return "" }, Now: func() time.Time { return present }}))
	for _, c := range root.Commands() {
		if c.Name() != "completion" && c.Name() != "help" {
			pages[c.Name()+".md"] = describe(c)
		}
	}
	for _, c := range guestCommands(t) {
		pages[c.Name()+".md"] = describe(c)
	}
	pages["evcsctl.md"] = describe(root)
	dir := filepath.Join("..", "..", "docs", "cli")
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		path := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(path, []byte(pages[name]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil || string(text) != pages[name] {
			t.Errorf("%s is not what the command says; run go test ./internal/cli -update (%v)", path, err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, wanted := pages[file.Name()]; !wanted && file.Name() != "README.md" {
			t.Errorf("%s describes no command", file.Name())
		}
	}
}

// describe is the page of a command and, but for the root, of all below it.
func describe(c *cobra.Command) string {
	var out strings.Builder
	section(&out, c, "#")
	if c.HasParent() {
		for _, child := range c.Commands() {
			below(&out, child)
		}
		return out.String()
	}
	out.WriteString("## Global flags\n\n```\n" + c.PersistentFlags().FlagUsages() + "```\n\n## Commands\n\n")
	for _, child := range c.Commands() {
		if child.Name() != "completion" && child.Name() != "help" {
			fmt.Fprintf(&out, "- [%s](%s.md): %s\n", child.Name(), child.Name(), child.Short)
		}
	}
	return out.String()
}

func below(out *strings.Builder, c *cobra.Command) {
	section(out, c, "##")
	for _, child := range c.Commands() {
		below(out, child)
	}
}

func section(out *strings.Builder, c *cobra.Command, mark string) {
	fmt.Fprintf(out, "%s %s\n\n%s\n\n", mark, c.CommandPath(), c.Short)
	if c.Long != "" {
		fmt.Fprintf(out, "```\n%s\n```\n\n", c.Long)
	}
	if c.HasParent() && c.Runnable() && !c.HasSubCommands() {
		fmt.Fprintf(out, "```\n%s\n```\n\n", c.UseLine())
		if flags := c.LocalNonPersistentFlags().FlagUsages(); flags != "" {
			fmt.Fprintf(out, "```\n%s```\n\n", flags)
		}
		fmt.Fprintf(out, "Example:\n\n```\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(exampleOf(c), "  "), "\n  ", "\n"))
	}
}

// TestScripts runs the scripts that need no daemon; those under daemon are for
// a harness that starts one and offers the same evcsctl command.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/local",
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"evcsctl": inProcess},
	})
}

// inProcess is evcsctl for scripts. A line that must fail may say how:
// `! evcsctl 2 station show x` also checks the exit code.
func inProcess(ts *testscript.TestScript, neg bool, args []string) {
	want := -1
	if neg && len(args) > 0 {
		if _, err := fmt.Sscan(args[0], &want); err == nil {
			args = args[1:]
		}
	}
	code := Main(context.Background(), Program{
		Args: args, In: strings.NewReader(""), Out: ts.Stdout(), Err: ts.Stderr(), Getenv: ts.Getenv, Now: func() time.Time { return present },
	})
	if (code != 0) != neg || want >= 0 && code != want {
		ts.Fatalf("evcsctl %v: exit code %d", args, code)
	}
}
