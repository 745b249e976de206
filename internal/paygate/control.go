package paygate

import (
	"encoding/json"
	"errors"
	"html/template"
	"mime"
	"net"
	"net/http"
	"net/netip"
)

// control adds the pay button, for programs and for people.
func (g *Gateway) control(mux *http.ServeMux) {
	mux.HandleFunc("GET /gateway/trades", g.local(func(w http.ResponseWriter, _ *http.Request) { respondJSON(w, http.StatusOK, g.Trades()) }))
	mux.HandleFunc("POST /gateway/pay", g.local(func(w http.ResponseWriter, r *http.Request) {
		var p Pay
		if !readJSON(w, r, &p) {
			return
		}
		switch err := g.Press(p); {
		case errors.Is(err, ErrNoTrade):
			respondError(w, http.StatusNotFound, err)
		case errors.Is(err, ErrNotOpen):
			respondError(w, http.StatusConflict, err)
		case err != nil:
			respondError(w, http.StatusBadRequest, err)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	mux.HandleFunc("POST /gateway/fault", g.local(func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if !readJSON(w, r, &f) {
			return
		}
		if err := g.Break(f); err != nil {
			respondError(w, http.StatusBadRequest, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("POST /gateway/certificate", g.local(func(w http.ResponseWriter, r *http.Request) {
		var c struct {
			Kind string `json:"kind"`
		}
		if !readJSON(w, r, &c) {
			return
		}
		sn, file, err := g.Certify(c.Kind)
		if err != nil {
			respondError(w, http.StatusBadRequest, err)
			return
		}
		respondJSON(w, http.StatusOK, map[string]string{"sn": sn, "certificate": string(file)})
	}))
	mux.HandleFunc("GET /{$}", g.local(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
		_ = page.Execute(w, g.Trades()) // whoever left does not want it
	}))
	mux.HandleFunc("POST /{$}", g.local(func(w http.ResponseWriter, r *http.Request) {
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
			http.Error(w, "from another page", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 4096)
		if err := g.Press(Pay{TradeNo: r.PostFormValue("tradeNo"), Outcome: Outcome(r.PostFormValue("outcome"))}); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}))
}

// local lets in only who asks for this machine by its own name, so that no page
// of somewhere else can press the button through a name of its own.
func (g *Gateway) local(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.IsLoopback()) && !g.cfg.AllowRemote {
			http.Error(w, "ask for 127.0.0.1", http.StatusForbidden)
			return
		}
		h(w, r)
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		respondError(w, http.StatusUnsupportedMediaType, errors.New("the body must be application/json"))
		return false
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		respondError(w, http.StatusBadRequest, errors.New("the body cannot be read"))
		return false
	}
	return true
}

func respondError(w http.ResponseWriter, status int, err error) {
	respondJSON(w, status, map[string]string{"error": err.Error()})
}

func respondJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever left does not want it
}

var page = template.Must(template.New("trades").Parse(`<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>支付网关 Payment gateway</title>
<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem}td,th{padding:.3rem .8rem;text-align:left;border-bottom:1px solid #ccc}form{display:inline}code{font-size:13px}</style></head>
<body><h1>本机支付网关 Local payment gateway</h1><p>没有真实资金。There is no money behind it.</p>
<table><tr><th>渠道 Channel</th><th>订单号 Trade</th><th>金额 Amount</th><th>状态 State</th><th></th></tr>
{{range .}}<tr><td>{{.Channel}} {{.Kind}}</td><td><code>{{.TradeNo}}</code><br>{{.Subject}}</td><td>{{.Amount}}</td><td>{{.State}}{{range .Refunds}}<br>退款 refund {{.Amount}} {{.State}}{{end}}</td>
<td>{{if or (eq .State "NEW") (eq .State "WAITING")}}<form method="post" action="/"><input type="hidden" name="tradeNo" value="{{.TradeNo}}"><button name="outcome" value="SUCCESS">付款 Pay</button>
<button name="outcome" value="LATE">关单后付款 Pay late</button> <button name="outcome" value="DUPLICATE">重复通知 Duplicate</button> <button name="outcome" value="WRONG_AMOUNT">金额不符 Wrong amount</button></form>{{end}}</td></tr>
{{else}}<tr><td colspan="5">还没有订单 No trades yet</td></tr>{{end}}</table></body></html>
`))
