package cli

import (
	_ "embed"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evcs/evcs/internal/help"
)

// chinese is the help texts, one a line: English, tab, Chinese. It is read only
// when help is shown in Chinese.
//
//go:embed zh.tsv
var chinese string

// guests is the same for evcsctl simulate and evcsctl gateway.
//
//go:embed zh_guests.tsv
var guests string

const needed = help.Needed

func chineseTexts() help.Texts { return help.Read(chinese) }

// helpInLanguage shows help in the language of the run, with an example.
func helpInLanguage(e *env, root *cobra.Command) {
	help.Speak(root, e.lang, chineseTexts, func(c *cobra.Command) {
		if c.Example == "" && c.Runnable() && !c.HasSubCommands() {
			c.Example = exampleOf(c)
		}
	})
}

// helpOfGuests gives the simulator and the gateway, whose commands are their
// own, the help of ours: its language, and --lang.
func helpOfGuests(e *env) func(*cobra.Command) {
	return func(guest *cobra.Command) {
		root := guest.Root()
		root.PersistentFlags().StringVar(&e.globals.lang, "lang", "", "en or zh (default from the locale)")
		help.Speak(root, e.lang, func() help.Texts { return help.Read(guests) }, nil)
	}
}

// samples are arguments that examples use.
var samples = map[string]string{
	"charger-id": "10001", "connector-no": "1", "session-id": "S-01KH3TX0A4N7Q2W9E5R8M6YCDB", "refund-no": "R-20260210-1", "trade-no": "EV20260210000017",
	"charger-code": "CP-001", "code": "SZ-FT-01", "name": "field", "identifier": "admin@tenant1", "channel": "sandbox", "date": "2026-02-09", "file": "statement.csv",
	"account": "RECEIVABLE", "role-code": "VIEWER", "part": "database", "type": "TRIGGER", "method": "GET", "path": "/api/station",
	"offline|idle|fault|maintenance|reserved": "maintenance", "station|charger|user|child": "station",
}

// spelled are the examples that say more than the form of the command.
var spelled = map[string]string{
	"evcsctl api":                        "evcsctl api POST /api/station -f stationCode=SZ-1 -f stationName=Depot -f address=\"1 Main Street\"\nevcsctl api /api/order --paginate -F status=11 --jq '.[].orderNo'",
	"evcsctl login":                      "evcsctl login admin@tenant1\nevcsctl --server https://evcs.example login admin@tenant1 --password-file secret.txt",
	"evcsctl context add":                "evcsctl --server https://evcs.example --tenant 3 context add field",
	"evcsctl station create":             "evcsctl station create --code SZ-1 --name Depot --address \"1 Main Street\"",
	"evcsctl station nearby":             "evcsctl station nearby --latitude 22.54 --longitude 114.06 --available",
	"evcsctl charger list":               "evcsctl charger list --status 3 --jq '.[].chargerCode'\nevcsctl charger list --all -o csv",
	"evcsctl charger start":              "evcsctl charger start 10001 1 --user 7 --wait 30s",
	"evcsctl charger command":            "evcsctl charger command 10001 SET_CONFIG --params '{\"key\":\"HeartbeatInterval\",\"value\":\"60\"}'",
	"evcsctl order list":                 "evcsctl order list --held true\nevcsctl order list --from 2026-02-01T00:00:00+08:00 --all -o json",
	"evcsctl order refund":               "evcsctl order refund 318 --amount 10.00 --reason \"charging broke off\" --yes",
	"evcsctl plan create":                "evcsctl plan create --file docs/examples/plan.yaml",
	"evcsctl plan validate":              "evcsctl plan validate --file docs/examples/plan.yaml",
	"evcsctl plan quote":                 "evcsctl plan quote 1 --from 2026-02-10T18:30:00+08:00 --to 2026-02-10T19:30:00+08:00 --energy 42.5",
	"evcsctl plan export":                "evcsctl plan export 1 2 > plans.yaml\nevcsctl plan export 1 -o csv > prices.csv",
	"evcsctl plan import":                "evcsctl plan import docs/examples/plan.yaml --dry-run",
	"evcsctl price explain":              "evcsctl price explain 318\nevcsctl price explain --charger 10001 --start 2026-10-01T18:30:00+08:00 --end 2026-10-01T19:30:00+08:00 --energy 42.5",
	"evcsctl order reprice":              "evcsctl order reprice 318 --plan 4 --reason \"wrong plan\" --dry-run",
	"evcsctl holiday set":                "evcsctl holiday set 2026-10-01 2026-10-02 --name 国庆节\nevcsctl holiday set 2026-10-10 --as THU",
	"evcsctl holiday clear":              "evcsctl holiday clear 2026-10-01 2026-10-07 --yes",
	"evcsctl refund create":              "evcsctl refund create 318 --amount 10.00 --reason \"charging broke off\" --yes",
	"evcsctl merchant create":            "evcsctl merchant create --channel alipay --name main --app-id 2021000000000001 --private-key-file app.pem --alipay-public-key-file alipay.pem\nevcsctl merchant create --file wechat.yaml --platform-key PUB_KEY_ID_01=wechat.pem",
	"evcsctl merchant rotate":            "evcsctl merchant rotate 2 --platform-key PUB_KEY_ID_02=new.pem --platform-key PUB_KEY_ID_01",
	"evcsctl reconcile daily":            "evcsctl reconcile daily sandbox",
	"evcsctl event follow":               "evcsctl event follow --types 'charger.*,alert.*' -o json",
	"evcsctl log tail":                   "evcsctl log tail -f --level WARN",
	"evcsctl export":                     "evcsctl export order --from 2026-02-01T00:00:00+08:00 --out orders.csv",
	"evcsctl stats energy":               "evcsctl stats energy --days 30 --scope SELF_AND_DESCENDANTS",
	"evcsctl notify create":              "evcsctl notify create --type EMAIL --name NOC --set 'config={\"to\":[\"noc@example.com\"]}'",
	"evcsctl alert-rule create":          "evcsctl alert-rule create --name QueueLong --metric outbox_lag_seconds --op gt --threshold 60 --severity HIGH",
	"evcsctl tenant settings":            "evcsctl tenant settings 1 --set sandboxPayments=true",
	"evcsctl user set-roles":             "evcsctl user set-roles 7 OPERATOR VIEWER",
	"evcsctl simulate":                   "evcsctl simulate --help",
	"evcsctl gateway":                    "evcsctl gateway serve --dir gateway",
	"evcsctl payment create":             "evcsctl payment create 318 --method SANDBOX --key pay-318-1",
	"evcsctl reconcile report":           "evcsctl reconcile report 41 --as html --out day.html",
	"evcsctl ledger account statement":   "evcsctl ledger account statement CLEARING --name alipay --from 2026-02-01T00:00:00+08:00",
	"evcsctl ledger book":                "evcsctl ledger book --kind PAID_OUT --channel alipay --reference B-20260210 --amount 9120.55",
	"evcsctl ledger reverse":             "evcsctl ledger reverse --kind PAID_OUT --channel alipay --reference B-20260210 --reason \"another account\"",
	"evcsctl reconcile statement upload": "evcsctl reconcile statement upload statement.csv --channel sandbox --date 2026-02-09",
}

// exampleOf is a line that works, made of the command's form, sample arguments
// and the flags it cannot do without.
func exampleOf(c *cobra.Command) string {
	if c.Example != "" {
		return c.Example
	}
	if text, known := spelled[c.CommandPath()]; known {
		return "  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	out := []string{c.CommandPath()}
	_, form, _ := strings.Cut(c.Use, " ")
	for word := range strings.FieldsSeq(form) {
		if strings.HasPrefix(word, "[") {
			continue
		}
		name := strings.Trim(word, "<>")
		sample, known := samples[name]
		if !known {
			sample = "1"
		}
		out = append(out, sample)
	}
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if strings.HasSuffix(f.Usage, needed) {
			out = append(out, "--"+f.Name, sampleFlag(f))
		}
	})
	return "  " + strings.Join(out, " ")
}

// sampleFlag is a value a flag takes.
func sampleFlag(f *pflag.Flag) string {
	switch f.Name {
	case "reason", "resolution", "reference":
		return "\"as agreed\""
	case "date":
		return "2026-02-09"
	case "expires":
		return "2027-01-01T00:00:00Z"
	case "code":
		return "SZ-FT-01"
	case "scopes", "permissions":
		return "station:query,charger:query"
	case "url":
		return "https://erp.example.com/hook"
	case "types":
		return "order.*"
	case "phone":
		return "13800138000"
	case "name", "contact", "tag", "username":
		return "crew"
	case "method":
		return "CASH"
	case "action":
		return "EXPLAIN"
	default:
		return "1"
	}
}
