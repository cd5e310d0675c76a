package gateway

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/backend"
	"ssmlocal/server/journal"
)

// metrics is what Prometheus reads.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	refusals *prometheus.CounterVec
	faults   *prometheus.CounterVec
	actions  map[string]actionMetrics // "" for those that are none
}

// actionMetrics are the metrics of one action that every call needs, kept here
// so that it finds them without a search.
type actionMetrics struct {
	duration prometheus.Observer
	ok       prometheus.Counter
}

func newMetrics(b *backend.Backend) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), actions: map[string]actionMetrics{}}
	m.calls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ssmlocal_calls_total", Help: "Calls, by action (\"\" if there is no such action) and code (OK for success, NoAnswer where a fault took the answer away).",
	}, []string{"action", "code"})
	m.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ssmlocal_budget_refusals_total", Help: "Calls beyond their request rate, by action.",
	}, []string{"action"})
	m.faults = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ssmlocal_faults_total", Help: "Calls that a fault hit, by action.",
	}, []string{"action"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ssmlocal_call_duration_seconds", Help: "From a call's arrival to its answer, by action.",
		Buckets: []float64{.00003, .0001, .0003, .001, .003, .01, .03, .1, .3, 1, 3, 10},
	}, []string{"action"})
	add := func(name string) {
		m.actions[name] = actionMetrics{durations.WithLabelValues(name), m.calls.WithLabelValues(name, journal.OK)}
		m.refusals.WithLabelValues(name) // at 0 from the start, so that the first one shows as an increase
		m.faults.WithLabelValues(name)
	}
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			add(a.Name)
		}
	}
	add("")
	m.registry.MustRegister(m.calls, m.refusals, m.faults, durations,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ssmlocal_set_aside", Help: "Things that are due and could not be done."},
			func() float64 { return float64(len(b.Aside())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ssmlocal_store_bytes", Help: "Size of the data file."},
			func() float64 { return float64(b.Size()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ssmlocal_clock_offset_seconds", Help: "How far the virtual clock is ahead of wall time."},
			func() float64 { wall := b.Clock.Wall(); return b.Clock.At(wall).Sub(wall).Seconds() }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// count counts a call.
func (m *metrics) count(rec *record) {
	name := rec.action
	of, ok := m.actions[name]
	if !ok {
		name, of = "", m.actions[""] // what a client sends as an action never becomes a label
	}
	of.duration.Observe(rec.took.Seconds())
	if code := rec.outcome(); code == journal.OK {
		of.ok.Inc()
	} else {
		m.calls.WithLabelValues(name, code).Inc()
	}
	if rec.fault != nil {
		m.faults.WithLabelValues(name).Inc()
	} else if rec.code == apierr.RequestLimitExceeded.Code {
		m.refusals.WithLabelValues(name).Inc()
	}
}

// Metrics returns the handler that serves the metrics.
func (g *Gateway) Metrics() http.Handler {
	return promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{})
}

// Register adds metrics of the package that uses the gateway.
func (g *Gateway) Register(m ...prometheus.Collector) { g.metrics.registry.MustRegister(m...) }
