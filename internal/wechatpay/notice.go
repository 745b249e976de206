package wechatpay

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const (
	apiKeyBytes = 32
	nonceBytes  = 12
	maxNotice   = 64 << 10
	// fresh is how far the time of a message may be from ours.
	fresh = 300 * time.Second
	// probe begins the signatures that the channel spoils on purpose.
	probe     = "WECHATPAY/SIGNTEST/"
	signedBy  = "WECHATPAY2-SHA256-RSA2048"
	encrypted = "AEAD_AES_256_GCM"
)

// Account implements payment.Channel: the serial of the key that the message
// says it is signed with.
func (*Channel) Account(n payment.Notice) string {
	serial, ok := header(n.Header, "Wechatpay-Serial")
	if !ok || len(serial) > maxNumber {
		return ""
	}
	return serial
}

// header is a header that is given once and is not empty.
func header(h http.Header, name string) (string, bool) {
	all := h.Values(name)
	if len(all) != 1 || strings.TrimSpace(all[0]) == "" {
		return "", false
	}
	return strings.TrimSpace(all[0]), true
}

// sealed is the body of a message.
type sealed struct {
	ID        string    `json:"id"`
	EventType string    `json:"event_type"`
	Resource  *resource `json:"resource"`
}

// resource is something encrypted with the apiV3Key.
type resource struct {
	Algorithm      string `json:"algorithm"`
	Ciphertext     string `json:"ciphertext"`
	AssociatedData string `json:"associated_data"`
	Nonce          string `json:"nonce"`
}

// event is what is inside: of a payment, or of a refund.
type event struct {
	MchID         string `json:"mchid"`
	AppID         string `json:"appid"`
	OutTradeNo    string `json:"out_trade_no"`
	TransactionID string `json:"transaction_id"`
	TradeState    string `json:"trade_state"`
	SuccessTime   string `json:"success_time"`
	OutRefundNo   string `json:"out_refund_no"`
	RefundID      string `json:"refund_id"`
	RefundStatus  string `json:"refund_status"`
	Amount        *struct {
		Total    *int64 `json:"total"`
		Refund   *int64 `json:"refund"`
		Currency string `json:"currency"`
	} `json:"amount"`
}

var (
	errHeader = errors.New("a signature header is missing, given twice or cannot be read")
	errStale  = errors.New("the message is more than 300 s old or in the future")
	errNotice = errors.New("the signed message lacks what it must hold")
	errSealed = errors.New("the content cannot be decrypted")
)

func forged(err error) error { return fmt.Errorf("%w: %w", payment.ErrSignature, err) }

// Verify implements payment.Channel: the signature over the raw bytes first,
// then the age, then what is inside. A probe of the channel is ErrProbe.
func (c *Channel) Verify(ctx context.Context, m payment.Merchant, n payment.Notice) (payment.Notification, error) {
	var none payment.Notification
	a, err := c.account(m)
	if err != nil {
		return none, forged(err)
	}
	if err := c.signed(ctx, a, n); err != nil {
		return none, err
	}
	var s sealed
	if json.Unmarshal(n.Body, &s) != nil || s.ID == "" || len(s.ID) > maxNumber || s.Resource == nil {
		return none, forged(errNotice)
	}
	plain := a.decrypt(*s.Resource)
	if plain == nil {
		return none, forged(errSealed)
	}
	var inside event
	if json.Unmarshal(plain, &inside) != nil {
		return none, forged(errNotice)
	}
	told, err := a.read(s, inside)
	if err != nil {
		return none, forged(err)
	}
	return told, nil
}

// signed refuses what the account's keys do not vouch for, now.
func (c *Channel) signed(ctx context.Context, a *account, n payment.Notice) error {
	signature, okSignature := header(n.Header, "Wechatpay-Signature")
	if strings.HasPrefix(signature, probe) {
		return payment.ErrProbe
	}
	stamp, okStamp := header(n.Header, "Wechatpay-Timestamp")
	nonce, okNonce := header(n.Header, "Wechatpay-Nonce")
	serial, okSerial := header(n.Header, "Wechatpay-Serial")
	if kind := n.Header.Get("Wechatpay-Signature-Type"); kind != "" && kind != signedBy {
		return forged(errHeader)
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if !okSignature || !okStamp || !okNonce || !okSerial || err != nil || len(n.Body) > maxNotice || strings.Contains(nonce, "\n") {
		return forged(errHeader)
	}
	if a.keys.Verify(ctx, serial, stamp+"\n"+nonce+"\n"+string(n.Body)+"\n", signature) != nil {
		return forged(errUnknown)
	}
	if age := c.cfg.Clock.Now().Sub(time.Unix(seconds, 0)); age > fresh || age < -fresh {
		return forged(errStale)
	}
	return nil
}

// decrypt opens a resource, nil when it cannot be. Everything that could stop
// the cipher is looked at before.
func (a *account) decrypt(r resource) []byte {
	raw, err := base64.StdEncoding.DecodeString(r.Ciphertext)
	if err != nil || r.Algorithm != encrypted || len(r.Nonce) != nonceBytes {
		return nil
	}
	block, err := aes.NewCipher(a.apiKey)
	if err != nil {
		return nil
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	plain, err := gcm.Open(nil, []byte(r.Nonce), raw, []byte(r.AssociatedData))
	if err != nil {
		return nil
	}
	return plain
}

// read words what was verified and decrypted.
func (a *account) read(s sealed, e event) (payment.Notification, error) {
	told := payment.Notification{EventID: s.ID, TradeNo: e.OutTradeNo, Account: e.MchID, Foreign: a.foreign(s, e)}
	if e.OutTradeNo == "" || len(e.OutTradeNo) > maxNumber || len(e.OutRefundNo) > maxNumber || e.Amount == nil {
		return told, errNotice
	}
	at := within(&e.SuccessTime)
	switch s.EventType {
	case "TRANSACTION.SUCCESS":
		if e.TradeState != "SUCCESS" || e.Amount.Total == nil || *e.Amount.Total <= 0 {
			return told, errNotice
		}
		told.Trade = payment.Trade{State: payment.TradePaid, ChannelTradeNo: e.TransactionID, Amount: evcs.Money(*e.Amount.Total), PaidAt: at}
	case "REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED":
		if "REFUND."+e.RefundStatus != s.EventType || e.OutRefundNo == "" || e.Amount.Refund == nil || *e.Amount.Refund <= 0 {
			return told, errNotice
		}
		told.RefundNo = e.OutRefundNo
		told.Refund = payment.RefundAnswer{ChannelRefundNo: e.RefundID, Amount: evcs.Money(*e.Amount.Refund), AcceptedAt: at}
		told.Refund.State, told.Refund.Code, told.Refund.Message = refundState(e.RefundStatus)
	default:
		return told, errNotice
	}
	return told, nil
}

// foreign is what the message names that is not the account's own. Refunds
// name no application.
func (a *account) foreign(s sealed, e event) string {
	switch {
	case e.MchID != a.id.MchID:
		return "merchant"
	case e.AppID != a.id.AppID && s.EventType == "TRANSACTION.SUCCESS":
		return "application"
	case e.Amount != nil && e.Amount.Currency != currency && (e.Amount.Currency != "" || s.EventType == "TRANSACTION.SUCCESS"):
		return "currency"
	}
	return ""
}

// Reply implements payment.Channel. It says nothing of what was wrong.
func (*Channel) Reply(v payment.Verdict) payment.Reply {
	const kind = "application/json"
	switch v {
	case payment.VerdictDone:
		return payment.Reply{Status: http.StatusNoContent}
	case payment.VerdictForged:
		return payment.Reply{Status: http.StatusUnauthorized, ContentType: kind, Body: `{"code":"FAIL","message":"signature verification failed"}`}
	case payment.VerdictRejected:
		return payment.Reply{Status: http.StatusBadRequest, ContentType: kind, Body: `{"code":"FAIL","message":"rejected"}`}
	case payment.VerdictUnavailable:
	}
	return payment.Reply{Status: http.StatusServiceUnavailable, ContentType: kind, Body: `{"code":"FAIL","message":"try again"}`}
}
