//! Made-up telemetry of HTTP services on Kubernetes, as a Prometheus that scrapes every 15 s would have it. The same on every run.

use std::fmt::Write;

/// Unix time at which the recording starts: 2025-06-03T10:00:00Z.
pub(crate) const START: i64 = 1_748_944_800;
/// Length of the recording, in minutes.
pub(crate) const MINUTES: usize = 120;
/// Time between scrapes, in seconds.
const SCRAPE_SECONDS: i64 = 15;
/// Scrapes do not fall on whole minutes, so that each belongs to one step of a minute only.
const FIRST_SCRAPE: i64 = START + 7;

/// Memory limit of every pod, in bytes.
const MEMORY_LIMIT: f64 = 1e9;

/// Upper bounds of the latency buckets, in seconds.
const BUCKETS: [f64; 18] = [0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.225, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75, 1.0, 2.5];

/// How one arm behaves.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    /// Name of its Deployment, which has one pod.
    pub(crate) scope: String,
    /// Requests a second; they arrive at random.
    pub(crate) rate: f64,
    /// Share of them that fail.
    pub(crate) error_ratio: f64,
    /// Median latency, in milliseconds; log-normal.
    pub(crate) median_ms: f64,
    /// Memory in percent of the limit, minute by minute; a few tenths of noise are added.
    pub(crate) memory: [f64; MINUTES],
    /// Minutes of which nothing was scraped.
    pub(crate) missing: [bool; MINUTES],
}

impl Arm {
    /// Ten requests a second, one in 500 failing, 80 ms, 55 % of memory, nothing missing.
    pub(crate) fn healthy(scope: &str) -> Self {
        Self {
            scope: scope.to_owned(),
            rate: 10.0,
            error_ratio: 0.002,
            median_ms: 80.0,
            memory: [55.0; MINUTES],
            missing: [false; MINUTES],
        }
    }

    /// Leaves out this share of every twenty minutes, chosen at random.
    pub(crate) fn with_gaps(mut self, share: f64) -> Self {
        let mut random = Random::seeded(&format!("{} gaps", self.scope));
        for part in self.missing.chunks_mut(20) {
            let mut order: Vec<(u64, usize)> = (0..part.len()).map(|minute| (random.next(), minute)).collect();
            order.sort_unstable();
            for (_, minute) in order.into_iter().take((part.len() as f64 * share).round() as usize) {
                part[minute] = true;
            }
        }
        self
    }
}

/// One series of a gauge, as it is recorded.
pub(crate) struct Gauge {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its labels, as OpenMetrics writes them between the braces.
    pub(crate) labels: String,
    /// Its level in each minute of the recording, `NaN` where nothing was scraped; 2 % of noise are added.
    pub(crate) levels: Vec<f64>,
}

/// Gauges as OpenMetrics text, scraped every 15 s from [`START`] on. Those of one name must lie together.
pub(crate) fn gauges(series: &[Gauge]) -> String {
    let mut text = String::new();
    let mut last = "";
    for Gauge { name, labels, levels } in series {
        if *name != last {
            writeln!(text, "# TYPE {name} gauge").expect("a string takes everything");
            last = name;
        }
        let mut random = Random::seeded(&format!("{name} {labels}"));
        for scrape in 0..levels.len() as i64 * 60 / SCRAPE_SECONDS {
            let time = FIRST_SCRAPE + scrape * SCRAPE_SECONDS;
            let level = levels[(time - START) as usize / 60] * (1.0 + 0.02 * random.normal());
            if level.is_finite() {
                writeln!(text, "{name}{{{labels}}} {level} {time}").expect("a string takes everything");
            }
        }
    }
    text + "# EOF\n"
}

/// The metric families of the recording, each as its lines.
#[derive(Default)]
struct Families {
    durations: String,
    memory: String,
    memory_limit: String,
    cpu: String,
}

/// The arms' telemetry as OpenMetrics text, in the namespace `shop`.
pub(crate) fn openmetrics(arms: &[Arm]) -> String {
    let mut families = Families::default();
    for arm in arms {
        record(arm, &mut families).expect("a string takes everything");
    }
    let Families { durations, memory, memory_limit, cpu } = families;
    format!(
        "# TYPE http_server_request_duration_seconds histogram\n{durations}\
         # TYPE container_memory_working_set_bytes gauge\n{memory}\
         # TYPE kube_pod_container_resource_limits gauge\n{memory_limit}\
         # TYPE container_cpu_usage_seconds counter\n{cpu}# EOF\n"
    )
}

/// What a client library has counted of the requests with one status.
#[derive(Default)]
struct Histogram {
    buckets: [u64; BUCKETS.len() + 1],
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        self.buckets[BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len())] += 1;
        self.sum += seconds;
    }

    fn write(&self, out: &mut String, labels: &str, time: i64) -> std::fmt::Result {
        let mut below = 0;
        for (i, count) in self.buckets.iter().enumerate() {
            below += count;
            let bound = BUCKETS.get(i).map_or("+Inf".to_owned(), f64::to_string);
            writeln!(out, "http_server_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {below} {time}")?;
        }
        writeln!(out, "http_server_request_duration_seconds_count{{{labels}}} {below} {time}")?;
        writeln!(out, "http_server_request_duration_seconds_sum{{{labels}}} {} {time}", self.sum)
    }
}

fn record(arm: &Arm, families: &mut Families) -> std::fmt::Result {
    let mut random = Random::seeded(&arm.scope);
    let (mut good, mut failed) = (Histogram::default(), Histogram::default());
    let mut cpu_seconds = 0.0;
    let pod = format!("namespace=\"shop\",pod=\"{}-6bd4f9c5d7-x2vqk\"", arm.scope);
    let container = format!("{pod},container=\"app\"");
    for scrape in 0..MINUTES as i64 * 60 / SCRAPE_SECONDS {
        let time = FIRST_SCRAPE + scrape * SCRAPE_SECONDS;
        let seconds = (time - START) as f64;
        let minute = (time - START) as usize / 60;
        // Both arms of a pair swing alike, as the traffic of one service does.
        let rate = arm.rate * (1.0 + 0.03 * (seconds / 3600.0 * std::f64::consts::TAU).sin());
        for _ in 0..random.poisson(rate * SCRAPE_SECONDS as f64) {
            let status = if random.uniform() < arm.error_ratio { &mut failed } else { &mut good };
            status.observe(arm.median_ms / 1000.0 * (0.5 * random.normal()).exp());
        }
        cpu_seconds += SCRAPE_SECONDS as f64 * (0.3 + 0.03 * random.normal());
        let used = arm.memory[minute] + 0.3 * random.normal();
        if arm.missing[minute] {
            continue;
        }
        good.write(&mut families.durations, &format!("{pod},http_response_status_code=\"200\""), time)?;
        // As with most client libraries, there is no series of failures before the first one.
        if failed.sum > 0.0 {
            failed.write(&mut families.durations, &format!("{pod},http_response_status_code=\"500\""), time)?;
        }
        writeln!(families.memory, "container_memory_working_set_bytes{{{container}}} {} {time}", used / 100.0 * MEMORY_LIMIT)?;
        writeln!(families.memory_limit, "kube_pod_container_resource_limits{{{container},resource=\"memory\"}} {MEMORY_LIMIT} {time}")?;
        writeln!(families.cpu, "container_cpu_usage_seconds_total{{{container}}} {cpu_seconds} {time}")?;
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea & Flood 2014): the same numbers for ever, which no crate promises of its default generator.
pub(crate) struct Random(u64);

impl Random {
    /// Seeded by a name (FNV-1a), so that each arm has numbers of its own.
    pub(crate) fn seeded(name: &str) -> Self {
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0..1.
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Arrivals where `mean` are expected, by exponential waiting times.
    fn poisson(&mut self, mean: f64) -> u64 {
        let mut waited = 0.0;
        let mut arrivals = 0;
        loop {
            waited -= (1.0 - self.uniform()).ln();
            if waited > mean {
                return arrivals;
            }
            arrivals += 1;
        }
    }
}
