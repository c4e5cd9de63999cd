package main

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// The bounds, in seconds, that OpenTelemetry advises for http.server.request.duration.
var bounds = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

const (
	classicName = "latency_seconds"
	nativeName  = "latency_native_seconds"
)

// A server answers requests after a drawn latency and counts how long each took, in both kinds of histogram.
type server struct {
	registry *prometheus.Registry
	backends map[backendKey]*backend
}

type backendKey struct{ pair, arm, instance string }

// A backend is one instance of one arm.
type backend struct {
	latency distribution
	mutex   sync.Mutex // guards random
	random  *rand.Rand
	classic prometheus.Observer
	native  prometheus.Observer
}

// newServer has every series from the start: a series that appears later begins with a count that `increase` does not see.
func newServer(seed uint64, pairs []pair) *server {
	labels := []string{"pair", "arm", "instance"}
	classic := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    classicName,
		Help:    "How long requests took, in seconds, in the buckets that OpenTelemetry advises.",
		Buckets: bounds,
	}, labels)
	native := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:                        nativeName,
		Help:                        "How long requests took, in seconds, in a native histogram.",
		NativeHistogramBucketFactor: 1.1,
	}, labels)
	s := &server{registry: prometheus.NewRegistry(), backends: make(map[backendKey]*backend)}
	s.registry.MustRegister(classic, native)
	for _, p := range pairs {
		for _, arm := range arms {
			for i := range instances {
				instance := instanceName(arm, i)
				s.backends[backendKey{p.Name, arm, instance}] = &backend{
					latency: latencyOf(p, arm, i),
					random:  randomOf(seed, "latency", p.Name, arm, instance),
					classic: classic.WithLabelValues(p.Name, arm, instance),
					native:  native.WithLabelValues(p.Name, arm, instance),
				}
			}
		}
	}
	return s
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /requests/{pair}/{arm}/{instance}", func(w http.ResponseWriter, r *http.Request) {
		b := s.backends[backendKey{r.PathValue("pair"), r.PathValue("arm"), r.PathValue("instance")}]
		if b == nil {
			http.NotFound(w, r)
			return
		}
		b.measured(b.work)(w, r)
	})
	return mux
}

// measured observes how long the handler really took, not what was drawn.
func (b *backend) measured(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		next(w, r)
		seconds := time.Since(start).Seconds()
		b.classic.Observe(seconds)
		b.native.Observe(seconds)
	}
}

// work is to sleep.
func (b *backend) work(w http.ResponseWriter, _ *http.Request) {
	b.mutex.Lock()
	latency := b.latency.draw(b.random)
	b.mutex.Unlock()
	time.Sleep(latency)
	w.WriteHeader(http.StatusNoContent)
}
