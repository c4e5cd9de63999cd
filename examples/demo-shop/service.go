package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// instances is the number of them in an arm.
const instances = 3

// window is the length of a canary, history the baseline's time before it.
const (
	window  = 30 * time.Minute
	history = 30 * time.Minute
)

const latencyName = "http_server_request_duration_seconds"

// A shop is one of the services that canaries are made of; its canaries are a group.
type shop struct {
	Name      string
	median    float64 // seconds
	perSecond float64 // requests to an instance
	errors    float64 // share of requests
	memory    float64 // bytes
}

var shops = []shop{
	{"basket", .040, 2, .002, 120e6}, {"search", .090, 3, .001, 300e6}, {"images", .025, 4, .0005, 200e6},
	{"checkout", .120, 1.5, .004, 150e6}, {"stock", .030, 2.5, .001, 90e6}, {"login", .060, 2, .010, 80e6},
	{"prices", .015, 4, .0002, 110e6}, {"reviews", .070, 1.5, .003, 160e6}, {"labels", .200, 1, .005, 250e6},
	{"mail", .150, 1.2, .002, 100e6},
}

// An instance is one process of an arm, with a registry of its own. Times are since the start of the window.
type instance struct {
	shop     shop
	fault    fault // none in the baseline
	traffic  fault // what both arms' traffic is like
	number   int
	random   *rand.Rand
	registry *prometheus.Registry
	latency  prometheus.Histogram
	requests *prometheus.CounterVec
	memory   prometheus.Gauge
	cpu      prometheus.Counter
	inFlight prometheus.Gauge
	ends     []time.Duration // of the requests that are being served
}

func newInstance(s shop, f fault, arm string, number int, seed uint64) *instance {
	i := &instance{shop: s, traffic: f, number: number, registry: prometheus.NewRegistry()}
	if arm == "canary" {
		i.fault = f
	}
	h := seed
	for _, c := range s.Name + "/" + f.Name + "/" + arm + strconv.Itoa(number) {
		h = h*1099511628211 ^ uint64(c)
	}
	i.random = rand.New(rand.NewPCG(seed, h))
	labels := prometheus.Labels{"case": s.Name + "/" + f.Name, "arm": arm, "instance": fmt.Sprintf("%s-%d", arm, number)}
	i.latency = prometheus.NewHistogram(prometheus.HistogramOpts{Name: latencyName, Help: "Duration of HTTP server requests.", ConstLabels: labels,
		Buckets: []float64{.005, .01, .02, .04, .06, .08, .12, .16, .24, .4, .8, 1.6, 5}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160})
	i.requests = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_server_requests_total", Help: "HTTP requests by status code.",
		ConstLabels: labels}, []string{"http_response_status_code"})
	i.requests.WithLabelValues("200")
	i.requests.WithLabelValues("500")
	i.memory = prometheus.NewGauge(prometheus.GaugeOpts{Name: "process_memory_usage_bytes", Help: "Physical memory in use.", ConstLabels: labels})
	i.cpu = prometheus.NewCounter(prometheus.CounterOpts{Name: "process_cpu_time_seconds_total", Help: "CPU time.", ConstLabels: labels})
	i.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{Name: "http_server_active_requests", Help: "Requests being served.", ConstLabels: labels})
	i.registry.MustRegister(i.latency, i.requests, i.memory, i.cpu, i.inFlight)
	return i
}

// up says whether it serves at all.
func (i *instance) up(at time.Duration) bool {
	return !i.fault.dies || i.number != instances-1 || at < window/2
}

// serve counts one request and says how it went.
func (i *instance) serve(at time.Duration) (time.Duration, int) {
	f, s := i.fault, i.shop
	active := !f.late || at >= window/2
	seconds := s.median * math.Exp(.5*i.random.NormFloat64())
	failing := s.errors
	if active {
		seconds *= or1(f.factor)
		failing += f.errors
		if i.random.Float64() < f.tail {
			seconds *= 10
		}
	}
	if i.number == 0 {
		seconds *= or1(f.instance)
	}
	// Before the release nothing is cold, and where nothing is, there is nothing to divide by.
	if at >= 0 && at < f.cold {
		seconds *= 2 - at.Seconds()/f.cold.Seconds()
	}
	status := http.StatusOK
	if i.random.Float64() < failing {
		status = http.StatusInternalServerError
	}
	if f.silent && at >= window/3 {
		i.registry.Unregister(i.latency)
	}
	i.latency.Observe(seconds)
	i.requests.WithLabelValues(strconv.Itoa(status)).Inc()
	i.cpu.Add(.1 * seconds)
	latency := time.Duration(seconds * 1e9)
	i.ends = append(i.ends, at+latency)
	return latency, status
}

// rate is the instance's requests a second; `share` grows when others of the arm are down.
func (i *instance) rate(at time.Duration, share float64) float64 {
	r := i.shop.perSecond * or1(i.traffic.traffic) * share
	if i.traffic.diurnal {
		r *= 1 + .5*math.Sin(2*math.Pi*at.Seconds()/window.Seconds())
	}
	return r
}

// measure sets the gauges as they are at a time.
func (i *instance) measure(at time.Duration) {
	var left []time.Duration
	for _, end := range i.ends {
		if end > at {
			left = append(left, end)
		}
	}
	i.ends = left
	i.inFlight.Set(float64(len(left)))
	i.memory.Set(i.shop.memory*(1+.03*i.random.NormFloat64()) + i.fault.leak*max(0, at.Seconds()))
}

// handler answers requests in real time, as serve says, and shows the metrics.
func (i *instance) handler(start time.Time, lock chan struct{}) http.Handler {
	mux := http.NewServeMux()
	metrics := promhttp.HandlerFor(i.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		lock <- struct{}{}
		i.measure(time.Since(start))
		<-lock
		metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		lock <- struct{}{}
		latency, status := i.serve(time.Since(start))
		<-lock
		time.Sleep(latency)
		w.WriteHeader(status)
	})
	return mux
}
