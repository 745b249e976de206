package httpapi

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/evcs/evcs/internal/health"
)

// Metrics is the registry behind /metrics, with the names of contract §17.3.
// Every label has a closed set of values.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	counters map[string]*prometheus.CounterVec
}

// NewMetrics makes the registry.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), counters: make(map[string]*prometheus.CounterVec)}
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "evcs_http_request_duration_seconds", Help: "Requests by path template, method and status class.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"endpoint", "method", "status"})
	m.registry.MustRegister(m.requests, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range []struct {
		name, help string
		labels     []string
		known      [][]string
	}{
		{"evcs_order_created_total", "Orders created.", nil, nil},
		{"evcs_order_start_failed_total", "Starts that failed.", []string{"reason"}, [][]string{{"START_REJECTED"}, {"START_TIMEOUT"}, {"START_FAILED"}}},
		{"evcs_order_stopped_total", "Sessions ended.", nil, nil},
		{"evcs_order_held_total", "Orders held for review.", []string{"anomaly"}, [][]string{{"ENERGY_IMPLAUSIBLE"}}},
		{"evcs_device_messages_total", "Messages of chargers.", []string{"protocol", "direction", "result"}, [][]string{{"OCPP16", "in", "ok"}, {"CLOUDCHARGE", "in", "ok"}}},
		{"evcs_command_total", "Commands by type and state.", []string{"type", "state"}, [][]string{{"START", "COMPLETED"}, {"STOP", "COMPLETED"}}},
		{"evcs_payment_total", "Payments by channel and result.", []string{"channel", "result"}, [][]string{{"sandbox", "success"}, {"sandbox", "failed"}}},
		{"evcs_payment_amount_fen_total", "Paid amounts in fen.", []string{"channel"}, [][]string{{"sandbox"}}},
		{"evcs_refund_total", "Refunds by channel and result.", []string{"channel", "result"}, [][]string{{"sandbox", "success"}, {"sandbox", "failed"}}},
		{"evcs_callback_total", "Payment callbacks.", []string{"channel", "result"}, [][]string{{"sandbox", "done"}, {"sandbox", "forged"}, {"sandbox", "rejected"}}},
		{"evcs_reconciliation_runs_total", "Reconciliation runs.", []string{"channel", "status"}, [][]string{{"sandbox", "FAILED"}}},
		{"evcs_auth_failures_total", "Refused credentials.", []string{"reason"}, [][]string{{"BAD_CREDENTIALS"}}},
	} {
		counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: c.name, Help: c.help}, c.labels)
		m.counters[c.name] = counter
		m.registry.MustRegister(counter)
		if len(c.labels) == 0 {
			counter.WithLabelValues().Add(0)
		}
		for _, labels := range c.known {
			counter.WithLabelValues(labels...).Add(0) // a rate needs a beginning
		}
	}
	return m
}

// classes of answers by the first digit of their status.
var classes = [...]string{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx", "6xx", "7xx", "8xx", "9xx"}

// Served implements Meter. Every request is in it, also those that waited on
// purpose: an alert on its quantiles leaves their endpoints out.
func (m *Metrics) Served(s health.Served) {
	m.requests.WithLabelValues(s.Endpoint, s.Method, classes[s.Status/100%len(classes)]).Observe(s.Took.Seconds())
}

// Add counts; labels must be the counter's, in their order. An unknown name is
// ignored.
func (m *Metrics) Add(name string, n float64, labels ...string) {
	if c := m.counters[name]; c != nil {
		if counter, err := c.GetMetricWithLabelValues(labels...); err == nil {
			counter.Add(n)
		}
	}
}

// Gauge is a figure that is measured when it is asked for.
type Gauge struct {
	Name, Help, Label string
	Read              func() map[string]float64 // by label value; "" without label
}

// Gauges adds figures.
func (m *Metrics) Gauges(list ...Gauge) {
	for _, g := range list {
		m.registry.MustRegister(gauge{g})
	}
}

// gauge is a prometheus.Collector.
type gauge struct{ Gauge }

func (g gauge) desc() *prometheus.Desc {
	var labels []string
	if g.Label != "" {
		labels = []string{g.Label}
	}
	return prometheus.NewDesc(g.Name, g.Help, labels, nil)
}

// Describe implements prometheus.Collector.
func (g gauge) Describe(out chan<- *prometheus.Desc) { out <- g.desc() }

// Collect implements prometheus.Collector.
func (g gauge) Collect(out chan<- prometheus.Metric) {
	for value, n := range g.Read() {
		if g.Label == "" {
			out <- prometheus.MustNewConstMetric(g.desc(), prometheus.GaugeValue, n)
			continue
		}
		out <- prometheus.MustNewConstMetric(g.desc(), prometheus.GaugeValue, n, value)
	}
}

// Handler writes the Prometheus text.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
