package cloudcharge

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// envelope is every answer.
type envelope struct {
	Code       string    `json:"code"` // the HTTP status, as a text
	Message    string    `json:"message"`
	Success    bool      `json:"success"`
	Data       any       `json:"data"`
	RequestID  string    `json:"requestId"`
	APIVersion string    `json:"apiVersion"`
	Timestamp  string    `json:"timestamp"`
	ErrorCode  evcs.Code `json:"errorCode,omitempty"`
}

// word makes the answer for what an operation returned.
func (s *Server) word(ctx context.Context, q *request, data any, err error, english bool) Reply {
	if err != nil {
		return s.refuse(ctx, q, err, english)
	}
	message := "操作成功"
	if english {
		message = "Done"
	}
	return s.reply(q, http.StatusOK, envelope{Message: message, Success: true, Data: data})
}

// refuse makes the answer for an error and logs what is no rule.
func (s *Server) refuse(ctx context.Context, q *request, err error, english bool) Reply {
	code, data, detail := evcs.Classify(err)
	status := code.Status()
	if code == evcs.CodeChargerDisabled {
		status = http.StatusForbidden // on the device ports; elsewhere it is a conflict
	}
	if status >= http.StatusInternalServerError {
		s.config.Log.ErrorContext(ctx, "a request of a charger failed", slog.Any("error", err))
	}
	e := envelope{Message: code.Text(english), ErrorCode: code}
	text := detail.ZH
	if english {
		text = detail.EN
	}
	if text != "" {
		e.Message += ":" + text
	}
	if data != nil {
		e.Data = evcs.FactsIn(data, english)
	}
	return s.reply(q, status, e)
}

func (s *Server) reply(q *request, status int, e envelope) Reply {
	now := s.config.Clock.Now()
	e.Code, e.APIVersion = strconv.Itoa(status), apiVersion
	e.Timestamp = now.Format(time.RFC3339)
	r := Reply{Status: status, At: now}
	if q != nil {
		e.RequestID = q.requestID
		r.Digest = q.digest()
		if q.form != "" {
			e.Timestamp = q.time(now)
		}
	}
	text, err := json.Marshal(e)
	if err != nil { // the facts of an error cannot be worded; the error can
		e.Data = nil
		text, _ = json.Marshal(e)
	}
	r.Answer = text
	return r
}

func writeReply(w http.ResponseWriter, r Reply) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if r.Status == http.StatusTooManyRequests || r.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Answer) // the charger may be gone; it repeats
}

// prefersEnglish reports whether English comes before Chinese.
func prefersEnglish(accept string) bool {
	accept = strings.ToLower(accept)
	en, zh := strings.Index(accept, "en"), strings.Index(accept, "zh")
	return en >= 0 && (zh < 0 || en < zh)
}

// decimal is a figure written as it stands.
func decimal(text string) json.RawMessage { return json.RawMessage(text) }
