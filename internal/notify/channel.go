package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/webhook"
)

// Crier tells alerts. It implements alarm.Courier.
type Crier struct {
	Sender *Sender
	Mail   *Mailer // nil: no mail server is set
}

// The bounds of the platforms' texts, in bytes.
const (
	mostDingTalk = 18_000
	mostWeCom    = 4000
	mostFeishu   = 18_000
)

var errNoMail = errors.New("no mail server is set (mail.host)")

// Send implements alarm.Courier.
func (c Crier) Send(ctx context.Context, m alarm.Message) (int, error) {
	switch m.Channel.Type {
	case alarm.ByEmail:
		if c.Mail == nil {
			return 0, errNoMail
		}
		return 0, c.Mail.send(ctx, m.Channel.Recipients, title(m), bounded(append(lines(m, ""), footer(m)), "\n", 100_000))
	case alarm.ByWebhook:
		return c.webhook(ctx, m)
	case alarm.ByDingTalk:
		return c.robot(ctx, dingTalkURL(m.Endpoint, m.At), dingTalk(m))
	case alarm.ByWeCom:
		return c.robot(ctx, m.Endpoint.URL, weCom(m))
	case alarm.ByFeishu:
		return c.robot(ctx, m.Endpoint.URL, feishu(m))
	}
	return 0, fmt.Errorf("no way to send to a channel of type %q", m.Channel.Type)
}

func footer(m alarm.Message) string {
	return words{ZH: "由 EVCS 充电运营平台发送", EN: "Sent by EVCS"}.in(m.English) + " · " + local(m.At, m.Zone)
}

// told is an alert as a WEBHOOK channel gets it.
type told struct {
	NoticeID    int64  `json:"noticeId"`
	Kind        string `json:"kind"`
	AlertID     int64  `json:"alertId"`
	TenantID    *int64 `json:"tenantId"`
	AlertType   string `json:"alertType"`
	Severity    string `json:"severity"`
	Status      string `json:"status"`
	Title       string `json:"title"`
	Message     string `json:"message"`
	TargetType  string `json:"targetType"`
	TargetID    string `json:"targetId"`
	StationID   *int64 `json:"stationId"`
	ChargerID   *int64 `json:"chargerId"`
	Occurrences int64  `json:"occurrences"`
	FirstTime   string `json:"firstTime"`
	LastTime    string `json:"lastTime"`
}

func (c Crier) webhook(ctx context.Context, m alarm.Message) (int, error) {
	list := make([]told, 0, len(m.Items))
	var first evcs.EventID
	for _, i := range m.Items {
		a := i.Alert
		if first == 0 {
			first = evcs.EventID(i.Notice)
		}
		list = append(list, told{
			NoticeID: i.Notice, Kind: string(i.Kind), AlertID: int64(a.ID), TenantID: orNil(a.Tenant), AlertType: string(a.Rule), Severity: string(a.Severity),
			Status: string(a.Status), Title: words(alarm.TitleOf(a.Rule)).in(m.English), Message: evcs.Worded(a.Message, m.English), TargetType: a.Target.Type,
			TargetID: a.Target.ID, StationID: orNil(a.Station), ChargerID: orNil(a.Charger), Occurrences: a.Occurrences,
			FirstTime: a.First.UTC().Format(time.RFC3339), LastTime: a.Last.UTC().Format(time.RFC3339),
		})
	}
	body, err := json.Marshal(map[string]any{"channelId": m.Channel.ID, "test": m.Test, "title": title(m), "alerts": list})
	if err != nil {
		return 0, fmt.Errorf("word a notice: %w", err)
	}
	return c.Sender.Post(ctx, m.Endpoint.URL, webhook.Header(m.Endpoint.Secret, first, m.At, body), body)
}

func orNil[N ~int64](n N) *int64 {
	if n == 0 {
		return nil
	}
	v := int64(n)
	return &v
}

// robot posts to a chat robot, which answers 200 with a code of its own.
func (c Crier) robot(ctx context.Context, to string, message map[string]any) (int, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return 0, fmt.Errorf("word a notice: %w", err)
	}
	status, answer, err := c.Sender.post(ctx, to, map[string]string{"Content-Type": "application/json; charset=utf-8"}, body)
	if err != nil {
		return status, err
	}
	return status, robotFault(answer)
}

// robotFault is what a robot's answer refuses, nil when it took the message.
// DingTalk and WeCom say errcode, Feishu says code.
func robotFault(answer []byte) error {
	var said struct {
		ErrCode *int   `json:"errcode"`
		ErrMsg  string `json:"errmsg"`
		Code    *int   `json:"code"`
		Msg     string `json:"msg"`
	}
	if err := json.Unmarshal(answer, &said); err != nil {
		return errors.New("the answer is not that of a robot")
	}
	switch {
	case said.ErrCode != nil && *said.ErrCode != 0:
		return fmt.Errorf("errcode %d: %s", *said.ErrCode, said.ErrMsg)
	case said.ErrCode == nil && said.Code != nil && *said.Code != 0:
		return fmt.Errorf("code %d: %s", *said.Code, said.Msg)
	case said.ErrCode == nil && said.Code == nil:
		return errors.New("the answer is not that of a robot")
	}
	return nil
}

// dingTalkURL is the robot's URL with the platform's signature: HMAC-SHA256
// with the secret over timestamp (ms), a line break and the secret.
func dingTalkURL(to alarm.Endpoint, at time.Time) string {
	if to.Secret == "" {
		return to.URL
	}
	u, err := url.Parse(to.URL)
	if err != nil {
		return to.URL // checked when it was set
	}
	stamp := strconv.FormatInt(at.UnixMilli(), 10)
	h := hmac.New(sha256.New, []byte(to.Secret))
	h.Write([]byte(stamp + "\n" + to.Secret))
	q := u.Query()
	q.Set("timestamp", stamp)
	q.Set("sign", base64.StdEncoding.EncodeToString(h.Sum(nil)))
	u.RawQuery = q.Encode()
	return u.String()
}

func dingTalk(m alarm.Message) map[string]any {
	text := "### " + title(m) + "\n\n" + bounded(lines(m, "**"), "\n\n", mostDingTalk)
	return map[string]any{"msgtype": "markdown", "markdown": map[string]any{"title": title(m), "text": text}}
}

func weCom(m alarm.Message) map[string]any {
	text := "### " + title(m) + "\n" + bounded(lines(m, "**"), "\n", mostWeCom-len(title(m))-8)
	return map[string]any{"msgtype": "markdown", "markdown": map[string]any{"content": text}}
}

// feishu signs in the body: HMAC-SHA256 with timestamp (s), a line break and
// the secret as the key, over nothing.
func feishu(m alarm.Message) map[string]any {
	body := map[string]any{"msg_type": "text", "content": map[string]any{"text": title(m) + "\n" + bounded(lines(m, ""), "\n", mostFeishu)}}
	if m.Endpoint.Secret != "" {
		stamp := strconv.FormatInt(m.At.Unix(), 10)
		h := hmac.New(sha256.New, []byte(stamp+"\n"+m.Endpoint.Secret))
		body["timestamp"], body["sign"] = stamp, base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	return body
}
