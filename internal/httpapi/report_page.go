package httpapi

import (
	_ "embed"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/recon"
)

//go:embed report.gohtml
var reportText string

var reportPages = sync.OnceValue(func() *template.Template { return template.Must(template.New("report").Parse(reportText)) })

// reportPolicy lets nothing be loaded and nothing run; only the page's own
// style is let in, by its hash.
var reportPolicy = sync.OnceValue(func() string {
	return "default-src 'none'; style-src" + hashesOf([]byte(reportText), "<style>", "</style>") + "; base-uri 'none'; form-action 'none'"
})

// reportPageView is what the page shows.
type reportPageView struct {
	*dayReport
	english bool

	Policy                    string
	Channel, Status, Failure  string
	Sandbox, Cut              bool
	Figures, Proof, Funds     []namedText
	Chargers                  []namedText
	Kinds                     kindChart
	Trend                     []trendBar
	Rows                      []reportRow
	Hash, Previous, Statement string
	Made                      string
}

type namedText struct{ Name, Value string }

// kindChart is a bar for each kind of difference.
type kindChart struct {
	Height int
	Bars   []kindBar
}

type kindBar struct {
	Label, Value, Class string
	Y, TextY, W, ValueX int
}

// trendBar is the column of a day.
type trendBar struct {
	Label, Value, Class string
	X, Y, W, H, TextY   int
}

type reportRow struct {
	ID                                                     int64
	Kind, State, Order, Number, Ours, Theirs, Done, People string
}

// Lang is the language of the page.
func (v *reportPageView) Lang() string { return v.T("zh-CN", "en") }

// T chooses between both languages.
func (v *reportPageView) T(zh, en string) string {
	if v.english {
		return en
	}
	return zh
}

func newReportPage(r *dayReport, zone *time.Location, english bool) *reportPageView {
	v := &reportPageView{dayReport: r, english: english, Policy: reportPolicy(), Sandbox: r.batch.Channel == "sandbox"}
	v.Channel = v.word(r.Batch.Channel)
	v.Status = v.word(r.Batch.Status)
	v.Made = r.CreateTime.Std().In(zone).Format("2006-01-02 15:04:05 -0700")
	if r.Batch.FailureMessage != nil {
		v.Failure = *r.Batch.FailureMessage
	}
	if r.Batch.StatementSHA256 != nil {
		v.Statement = *r.Batch.StatementSHA256
	}
	v.figures()
	v.proof()
	v.funds()
	v.chargers()
	v.kinds()
	v.trend()
	v.rows()
	return v
}

func orDash[T interface{ String() string }](value *T) string {
	if value == nil {
		return "–"
	}
	return (*value).String()
}

func (v *reportPageView) figures() {
	b := v.Batch
	rate := "–"
	if b.SuccessRate != nil {
		rate = b.SuccessRate.String() + " %"
	}
	v.Figures = []namedText{
		{v.T("总笔数", "Rows"), strconv.FormatInt(b.TotalCount, 10)},
		{v.T("一致", "Match"), strconv.FormatInt(b.MatchedCount, 10)},
		{v.T("成功率", "Success rate"), rate},
		{v.T("未处理差异", "Open differences"), strconv.FormatInt(b.OpenDifferences+b.PendingReview, 10)},
		{v.T("本方合计", "Ours, CNY"), b.SystemTotalAmount.String()},
		{v.T("渠道合计", "Channel, CNY"), orDash(b.ChannelTotalAmount)},
		{v.T("差额", "Difference, CNY"), orDash(b.AmountDifference)},
		{v.T("手续费", "Fees, CNY"), orDash(b.FeeTotal)},
	}
}

// proof is the proof of a closed day; before, what our journal says of it.
func (v *reportPageView) proof() {
	p := v.dayReport.Proof
	if p == nil {
		l := v.Ledger
		v.Proof = []namedText{
			{v.T("账簿期初", "Journal: opening"), l.Opening.String()},
			{v.T("账簿借方", "Journal: debits"), l.Debit.String()},
			{v.T("账簿贷方", "Journal: credits"), l.Credit.String()},
			{v.T("账簿期末", "Journal: closing"), l.Closing.String()},
		}
		return
	}
	v.Proof = []namedText{
		{v.T("期初", "Opening"), p.Opening.String()},
		{v.T("+ 收款", "+ payments"), p.Payments.String()},
		{v.T("− 退款", "− refunds"), p.Refunds.String()},
		{v.T("− 手续费", "− fees"), p.Fees.String()},
		{v.T("+ 调整(含提现)", "+ adjustments (pay-outs included)"), p.Adjustments.String()},
		{v.T("= 期末", "= closing"), p.Closing.String()},
		{v.T("新增挂账", "into suspense"), p.SuspenseIn.String()},
		{v.T("转出挂账", "out of suspense"), p.SuspenseOut.String()},
		{v.T("账簿期末", "Journal: closing"), p.LedgerClosing.String()},
	}
	v.Hash, v.Previous = p.Hash, "–"
	if p.PreviousHash != nil {
		v.Previous = *p.PreviousHash
	}
}

// funds are the second and the third leg: what moved on the account beside the
// trade statement, and beside the journal.
func (v *reportPageView) funds() {
	f := v.Batch.Funds
	if f == nil {
		return
	}
	v.Funds = []namedText{
		{v.T("渠道期初余额", "Channel: opening balance"), orDash(f.OpeningBalance)},
		{v.T("收款入账", "payments that came in"), f.PaymentAmount.String()},
		{v.T("退款支出", "refunds that went out"), f.RefundAmount.String()},
		{v.T("手续费扣除", "fees taken"), f.FeeAmount.String()},
		{v.T("提现、转账与分账(净额)", "pay-outs, transfers and shares, net"), f.OtherAmount.String()},
		{v.T("渠道期末余额", "Channel: closing balance"), orDash(f.ClosingBalance)},
		{v.T("账簿当日变动", "the journal moved"), f.LedgerMovement.String()},
		{v.T("差异可解释", "differences explain"), f.ExplainedAmount.String()},
		{v.T("无法解释", "nobody explains"), f.UnexplainedDrift.String()},
	}
}

// chargers are our bills beside what the chargers say themselves.
func (v *reportPageView) chargers() {
	c := v.Batch.Chargers
	if c == nil {
		return
	}
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	v.Chargers = []namedText{
		{v.T("充电桩上报账单(笔)", "bills that chargers told"), count(c.TotalCount)},
		{v.T("一致", "equal"), count(c.MatchedCount)},
		{v.T("电量不符", "other energy"), count(c.EnergyMismatch)},
		{v.T("金额不符", "other amount"), count(c.AmountMismatch)},
		{v.T("本方电费与服务费(元)", "ours for energy, CNY"), c.LocalAmount.String()},
		{v.T("充电桩金额(元)", "the chargers', CNY"), c.ChargerAmount.String()},
		{v.T("本方电量(kWh)", "ours, kWh"), c.LocalEnergy.String()},
		{v.T("充电桩电量(kWh)", "the chargers', kWh"), c.ChargerEnergy.String()},
	}
}

// The measures of the charts, in the units of their view boxes.
const (
	kindRow    = 26
	kindWidth  = 220
	kindLeft   = 150
	trendLeft  = 14
	trendWidth = 412
	trendBase  = 130
	trendHigh  = 100
)

func (v *reportPageView) kinds() {
	most := int64(1)
	for _, k := range v.dayReport.Kinds {
		most = max(most, k.Count)
	}
	v.Kinds.Height = max(len(v.dayReport.Kinds), 1)*kindRow + 16
	for i, k := range v.dayReport.Kinds {
		b := kindBar{Label: v.word(k.Kind), Value: strconv.FormatInt(k.Count, 10), Class: "bad", Y: i*kindRow + 10, TextY: i*kindRow + 22}
		if k.Unsettled > 0 {
			b.Class = "worst"
			b.Value += v.T(",未处理 ", ", open ") + strconv.FormatInt(k.Unsettled, 10)
		}
		b.W = max(int(k.Count*kindWidth/most), 2)
		b.ValueX = kindLeft + b.W + 6
		v.Kinds.Bars = append(v.Kinds.Bars, b)
	}
}

func (v *reportPageView) trend() {
	days := v.dayReport.Trend
	most := int64(1)
	for _, d := range days {
		most = max(most, d.TotalCount-d.MatchedCount)
	}
	step := trendWidth / max(len(days), 7)
	for i, d := range days {
		n := d.TotalCount - d.MatchedCount
		b := trendBar{X: trendLeft + i*step, W: max(step-4, 2), H: max(int(n*trendHigh/most), 2), Class: "good"}
		if n > 0 {
			b.Class, b.Value = "bad", strconv.FormatInt(n, 10)
		}
		if d.Status == api.ReconFailed || d.OpenDifferences > 0 {
			b.Class = "worst"
		}
		if len(days)-1-i < 1 || i%5 == 0 && len(days)-1-i > 2 {
			b.Label = strings.TrimPrefix(string(d.ReconciliationDate)[4:], "-")
		}
		b.Y = trendBase - b.H
		b.TextY = b.Y - 4
		v.Trend = append(v.Trend, b)
	}
}

func (v *reportPageView) rows() {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, d := range v.Differences {
		row := reportRow{
			ID: d.DifferenceID, Kind: v.kindOf(&d), State: v.word(d.State), Order: text(d.OrderNo), Number: text(d.TradeNo), Ours: withEnergy(d.LocalAmount, d.LocalEnergy),
			Theirs: withEnergy(d.ChannelAmount, d.ChannelEnergy),
		}
		if d.RefundNo != nil {
			row.Number = *d.RefundNo
		}
		if row.Number == "" {
			row.Number = text(d.ChannelTradeNo)
		}
		if r := d.Resolution; r != nil {
			parts := []string{v.word(r.Action), r.Reason, text(r.Note), text(r.Effect)}
			row.Done = strings.Join(compact(parts), " · ")
			row.People = person(r.Maker) + " / " + person(r.Checker)
		}
		v.Rows = append(v.Rows, row)
	}
	v.Cut = v.Listed > int64(len(v.Rows))
}

// kindOf words what differs, and with whom when it is not the channel.
func (v *reportPageView) kindOf(d *api.Difference) string {
	if !slices.Contains(d.Facets, recon.FacetCharger) {
		return v.word(d.Kind)
	}
	return v.T("充电桩账单不符", "the charger's own bill differs")
}

func withEnergy(amount *api.Money, energy *api.KWh) string {
	if energy == nil {
		return orDash(amount)
	}
	return orDash(amount) + " / " + energy.String() + " kWh"
}

func compact(parts []string) []string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return kept
}

func person(id *int64) string {
	if id == nil {
		return "–"
	}
	return strconv.FormatInt(*id, 10)
}

// word is a word of the contract in the language of the page.
func (v *reportPageView) word(code string) string {
	w, known := reportWords()[code]
	if !known {
		return code
	}
	return v.T(w.ZH, w.EN)
}

func reportWords() map[string]evcs.Detail {
	return map[string]evcs.Detail{
		"alipay": {ZH: "支付宝", EN: "Alipay"}, "wechat": {ZH: "微信支付", EN: "WeChat Pay"}, "sandbox": {ZH: "沙箱", EN: "Sandbox"},
		"SUCCESS": {ZH: "全部一致", EN: "all match"}, "PARTIAL": {ZH: "存在差异", EN: "differences"}, "FAILED": {ZH: "失败", EN: "failed"},
		"RUNNING": {ZH: "进行中", EN: "running"}, "LOCAL_ONLY": {ZH: "本方单边", EN: "only ours"}, "CHANNEL_ONLY": {ZH: "渠道单边", EN: "only the channel's"},
		"AMOUNT_MISMATCH": {ZH: "金额不符", EN: "amount differs"}, "STATUS_MISMATCH": {ZH: "状态不符", EN: "status differs"},
		"DUPLICATE": {ZH: "重复", EN: "duplicate"}, "FEE_MISMATCH": {ZH: "手续费不符", EN: "fee differs"}, "OPEN": {ZH: "未处理", EN: "open"},
		"SUSPENDED": {ZH: "挂账", EN: "in suspense"}, "AUTO_RESOLVED": {ZH: "自动处理", EN: "resolved by itself"},
		"PENDING_REVIEW": {ZH: "待复核", EN: "waits for review"}, "RESOLVED": {ZH: "已处理", EN: "resolved"}, "WRITTEN_OFF": {ZH: "已核销", EN: "written off"},
		"ADOPT_CHANNEL": {ZH: "以渠道为准", EN: "follow the channel"}, "REFUND": {ZH: "退款", EN: "refund"}, "EXPLAIN": {ZH: "说明", EN: "explain"},
		"WRITE_OFF": {ZH: "核销", EN: "write off"},
	}
}
