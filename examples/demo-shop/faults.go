package main

import "time"

// A fault is what is wrong, or merely unusual, with a canary. Nothing of it touches the baseline, but for its traffic.
type fault struct {
	Name      string
	Regressed bool
	factor    float64       // of every request's latency; 0 stands for 1
	tail      float64       // share of requests that take ten times as long
	errors    float64       // added to the share of requests that fail
	leak      float64       // bytes a second that are never freed
	instance  float64       // factor of the first instance's latency; 0 stands for 1
	dies      bool          // the last instance serves no more from the middle of the window on
	silent    bool          // the latency histogram is no longer exported from a third of the window on
	late      bool          // latency and errors begin at the middle of the window
	cold      time.Duration // how long the process warms up, latency falling from twice as long
	traffic   float64       // factor of both arms' traffic; 0 stands for 1
	diurnal   bool          // both arms' traffic rises and falls by half
}

// Each is recorded once for every service, the plain healthy canary five times.
var faults = []fault{
	{Name: "healthy"}, {Name: "healthy-2"}, {Name: "healthy-3"}, {Name: "healthy-4"}, {Name: "healthy-5"},
	{Name: "cold-start", cold: 3 * time.Minute},
	{Name: "cold-start-long", cold: 6 * time.Minute},
	{Name: "traffic-low", traffic: .02},
	{Name: "traffic-lower", traffic: .01},
	{Name: "traffic-diurnal", diurnal: true},
	{Name: "traffic-diurnal-2", diurnal: true},
	{Name: "latency-x1.25", Regressed: true, factor: 1.25},
	{Name: "latency-x2", Regressed: true, factor: 2},
	{Name: "tail", Regressed: true, tail: .03},
	{Name: "errors", Regressed: true, errors: .01},
	{Name: "leak", Regressed: true, leak: 60e3},
	{Name: "bad-instance", Regressed: true, instance: 2},
	{Name: "dying-pod", Regressed: true, dies: true},
	{Name: "silent-metric", Regressed: true, silent: true},
	{Name: "late-step", Regressed: true, factor: 2, late: true},
	{Name: "latency-x2-traffic-low", Regressed: true, factor: 2, traffic: .02},
	{Name: "errors-traffic-diurnal", Regressed: true, errors: .01, diurnal: true},
}

func or1(x float64) float64 {
	if x == 0 {
		return 1
	}
	return x
}
