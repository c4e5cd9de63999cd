// Made-up telemetry of a few services, as a Prometheus that scrapes every 15 s would have it.

package argo_test

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	scrape = 15 * time.Second
	// recorded is how far back the recording goes, and ahead how far it reaches beyond the start of the tests: it stands for the
	// scrapes that would be made while they run.
	recorded = 4 * time.Hour
	ahead    = 15 * time.Minute
	// recovery is when the arm `recovered-canary` stops being bad, before the tests begin.
	recovery = 40 * time.Minute
)

// level is what an arm reports around a time: milliseconds, and percent of requests that fail.
type level struct{ latency, errors float64 }

var (
	healthy = level{latency: 100, errors: 1}
	slow    = level{latency: 160, errors: 1}
	broken  = level{latency: 160, errors: 6}
)

// arm is one series of each metric.
type arm struct {
	app, region string
	at          func(sinceStart time.Duration) level
}

// odd is the name of an arm that no query may be made of without escaping it.
const odd = `check "v2" + b&c \ {out}, it's`

func always(l level) func(time.Duration) level { return func(time.Duration) level { return l } }

var arms = []arm{
	{app: "checkout", region: "eu", at: always(healthy)},
	{app: "checkout", region: "us", at: always(healthy)},
	{app: "checkout-canary", region: "eu", at: always(healthy)},
	{app: "slow-canary", region: "eu", at: always(slow)},
	{app: "broken-canary", region: "eu", at: always(broken)},
	// Healthy in one region, broken in the other.
	{app: "travelling-canary", region: "eu", at: always(healthy)},
	{app: "travelling-canary", region: "us", at: always(broken)},
	{app: "recovered-canary", region: "eu", at: func(sinceStart time.Duration) level {
		if sinceStart < -recovery {
			return broken
		}
		return healthy
	}},
	{app: odd, region: "eu", at: always(healthy)},
	{app: odd + "-canary", region: "eu", at: always(healthy)},
}

// openmetrics is the telemetry around a time. A value depends on its arm and the time of its scrape alone: no test hangs on chance.
func openmetrics(now time.Time) string {
	var latency, errors strings.Builder
	for i, arm := range arms {
		labels := fmt.Sprintf(`app="%s",region="%s"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(arm.app), arm.region)
		first := now.Add(-recorded).Truncate(scrape)
		for at := first; at.Before(now.Add(ahead)); at = at.Add(scrape) {
			l := arm.at(at.Sub(now))
			n := at.Unix() / int64(scrape/time.Second)
			fmt.Fprintf(&latency, "request_latency_ms{%s} %.6f %d\n", labels, l.latency*around(n, 2*i), at.Unix())
			fmt.Fprintf(&errors, "request_error_percent{%s} %.6f %d\n", labels, l.errors*around(n, 2*i+1), at.Unix())
		}
	}
	return "# TYPE request_latency_ms gauge\n" + latency.String() + "# TYPE request_error_percent gauge\n" + errors.String() + "# EOF\n"
}

// around is within 5 % of 1. Multiples of the golden ratio fill the range evenly over any stretch of time, so two arms of one
// level never differ by more than a fraction of their scatter. A quarter of it a scrape is all of it a minute, the step judged at.
func around(n int64, series int) float64 {
	_, part := math.Modf(float64(n)*(math.Phi-1)/4 + 0.37*float64(series))
	return 0.95 + 0.1*part
}
