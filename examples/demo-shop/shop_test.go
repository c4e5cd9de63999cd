package main

import (
	"math"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// drawn are the mean latency in seconds and the share of failures of many requests to a canary's instance.
func drawn(t *testing.T, f fault, number int, at time.Duration) (mean, failing float64) {
	t.Helper()
	i := newInstance(shops[0], f, "canary", number, 1)
	const n = 50_000
	for range n {
		latency, status := i.serve(at)
		i.ends = nil
		mean += latency.Seconds() / n
		if status != 200 {
			failing += 1. / n
		}
	}
	return mean, failing
}

func near(t *testing.T, what string, got, want, off float64) {
	t.Helper()
	if !(math.Abs(got-want) <= off) {
		t.Errorf("%s is %v, not %v", what, got, want)
	}
}

// A log-normal's mean is its median times exp(sigma^2 / 2).
func TestEachFaultHasItsEffectOnRequests(t *testing.T) {
	healthy := shops[0].median * math.Exp(.125)
	for _, c := range []struct {
		f      fault
		number int
		at     time.Duration
		factor float64
		errors float64
	}{
		{fault{}, 0, 0, 1, .002},
		{fault{factor: 1.25}, 0, 0, 1.25, .002},
		{fault{factor: 2}, 0, 0, 2, .002},
		{fault{tail: .03}, 0, 0, 1.27, .002},
		{fault{errors: .01}, 0, 0, 1, .012},
		{fault{instance: 2}, 0, 0, 2, .002},
		{fault{instance: 2}, 1, 0, 1, .002},
		{fault{factor: 2, late: true}, 0, window/2 - 1, 1, .002},
		{fault{factor: 2, late: true}, 0, window / 2, 2, .002},
		{fault{cold: time.Minute}, 0, 0, 2, .002},
		{fault{cold: time.Minute}, 0, time.Minute, 1, .002},
	} {
		mean, failing := drawn(t, c.f, c.number, c.at)
		near(t, "the mean of a request", mean/healthy, c.factor, .03)
		near(t, "the share of failures", failing, c.errors, .002)
	}
}

func TestBeforeTheReleaseNothingIsColdOrInfinite(t *testing.T) {
	for _, f := range []fault{{}, {cold: time.Minute}} {
		mean, _ := drawn(t, f, 0, -time.Minute)
		near(t, "the mean of a request before the release", mean/(shops[0].median*math.Exp(.125)), 1, .03)
	}
}

func TestADyingPodIsDownFromTheMiddleOn(t *testing.T) {
	i := newInstance(shops[0], fault{dies: true}, "canary", instances-1, 1)
	if !i.up(window/2-1) || i.up(window/2) {
		t.Error("it does not die at the middle of the window")
	}
}

func TestASilentMetricIsNoLongerExported(t *testing.T) {
	i := newInstance(shops[0], fault{silent: true}, "canary", 0, 1)
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{0, 5}, {window / 3, 4}} {
		i.serve(c.at)
		families, err := i.registry.Gather()
		if err != nil || len(families) != c.want {
			t.Errorf("%d metrics, not %d (%v)", len(families), c.want, err)
		}
	}
}

func TestALeakGrowsMemory(t *testing.T) {
	value := func(at time.Duration) float64 {
		i := newInstance(shops[0], fault{leak: 60e3}, "canary", 0, 1)
		i.measure(at)
		var m dto.Metric
		if err := i.memory.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetGauge().GetValue()
	}
	near(t, "what leaks in a window", value(window)-value(0), 108e6, 1)
}

func TestTrafficIsTheSameForBothArms(t *testing.T) {
	for _, f := range faults {
		b, c := newInstance(shops[0], f, "baseline", 0, 1), newInstance(shops[0], f, "canary", 0, 1)
		if b.rate(time.Minute, 1) != c.rate(time.Minute, 1) {
			t.Errorf("%s: the arms have different traffic", f.Name)
		}
	}
	i := newInstance(shops[0], fault{diurnal: true, traffic: .02}, "canary", 0, 1)
	near(t, "the peak of low traffic", i.rate(window/4, 1), 2*.02*1.5, 1e-9)
}
