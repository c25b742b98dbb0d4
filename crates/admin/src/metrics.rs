//! All numbers as text, for Prometheus: OpenMetrics 1.0.
//!
//! A name says what and in which unit. Labels are a route's id, a class of status, a worker's
//! number, a certificate's name: each is bounded by something that has a bound itself, and here
//! again. Those of dialects and of the catalog are words of our own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::{RouteId, UnixMillis};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::route::{CLASSES, Route};
use crate::source::{Catalog, Dialect, Expiry, Numbers, Source};

/// What the text is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Routes with series of their own, those with the lowest ids. Some twenty lines each.
const ROUTES_MAX: usize = 10_000;
/// Names of certificates with a series of their own, those that end first.
const NAMES_MAX: usize = 10_000;

/// Everything, as it is now.
///
/// # Errors
///
/// Never, as a text takes all that is written into it.
pub(crate) fn render(source: &Arc<dyn Source>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("proxyd");
    registry.register_collector(Box::new(Look(Arc::clone(source))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// One look at the source.
#[derive(Debug)]
struct Look(Arc<dyn Source>);

impl Collector for Look {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let numbers = self.0.numbers();
        let (mut routes, mut routes_left) = (Vec::new(), 0);
        self.0.each_route(&mut |id: RouteId, totals| {
            if routes.len() < ROUTES_MAX {
                routes.push(Route::of(id, totals));
            } else {
                routes_left += 1;
            }
        });
        let mut page = Page(encoder);
        page.process(&numbers)?;
        page.routes(&routes)?;
        page.dialects(&numbers.dialects)?;
        page.catalog(&numbers.catalog)?;
        let clients = page.expiries(
            "certificate_expiry_timestamp",
            "When a certificate that clients are shown ends, since the Unix epoch",
            &numbers.certificates,
        )?;
        let registry = page.expiries(
            "registry_certificate_expiry_timestamp",
            "When the certificate of the registry ends, since the Unix epoch",
            &numbers.registry_certificates,
        )?;
        page.gauges(
            "unlisted",
            "What has no series of its own here, because there are too many",
            "what",
            [("routes", routes_left), ("certificates", clients + registry)],
        )
    }
}

struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    fn process(&mut self, numbers: &Numbers) -> fmt::Result {
        self.0
            .encode_descriptor("build", "Which program this is", None, MetricType::Info)?
            .encode_info(&[("version", numbers.version)])?;
        self.gauge("generation", "Of the routing table that is published", numbers.generation)?;
        self.gauge("routes", "Routes that are published", numbers.routes)?;
        self.gauge(
            "sessions",
            "Sessions in the registry, those included whose connection is lost",
            numbers.sessions,
        )?;
        self.gauge(
            "requests_in_flight",
            "Requests being worked on, tunnels included",
            numbers.in_flight,
        )?;
        let workers: Vec<String> = (0..numbers.connections.len()).map(|n| n.to_string()).collect();
        self.gauges(
            "connections",
            "Open connections of clients",
            "worker",
            workers.iter().map(String::as_str).zip(numbers.connections.iter().copied()),
        )?;
        let Some(issued) = numbers.issued else { return Ok(()) };
        self.counter("acme_issued", "First certificates that authorities gave", issued.issued)?;
        self.counter("acme_renewed", "Certificates that were renewed", issued.renewed)?;
        self.counter("acme_failures", "Attempts without a certificate", issued.failed)
    }

    fn routes(&mut self, routes: &[Route]) -> fmt::Result {
        let help = "Requests answered, by class of status";
        let mut family = self.family("requests", help, None, MetricType::Counter)?;
        for route in routes {
            for (class, count) in CLASSES.iter().zip(route.by_class) {
                if count > 0 {
                    let labels = [("route", route.id.as_str()), ("code", *class)];
                    count_one(&mut family.encode_family(&labels)?, count)?;
                }
            }
        }
        let help = "Requests that failed: a status of 500 or above, or a response that broke off";
        self.by_route("request_errors", help, None, routes, |route| route.errors)?;
        let bytes = Some(&Unit::Bytes);
        self.by_route("sent", "Sent to clients", bytes, routes, |route| route.sent)?;
        self.by_route("received", "Received from clients", bytes, routes, |route| route.received)?;
        let help = "From the head of a request to the end of its response";
        let unit = Some(&Unit::Seconds);
        let mut family = self.family("request_duration", help, unit, MetricType::Histogram)?;
        for route in routes {
            let (sum, count) = (route.latency_sum.as_secs_f64(), route.requests);
            let labels = [("route", route.id.as_str())];
            let mut one = family.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(sum, count, &route.latencies, None)?;
        }
        Ok(())
    }

    fn dialects(&mut self, dialects: &[Dialect]) -> fmt::Result {
        if dialects.is_empty() {
            return Ok(());
        }
        let open = dialects.iter().map(|dialect| (dialect.name, dialect.connections));
        let help = "Open connections of a dialect";
        self.gauges("dialect_connections", help, "dialect", open)?;
        let help = "Connections of a dialect that were not let in";
        let counter = MetricType::Counter;
        let mut family = self.family("dialect_refused_connections", help, None, counter)?;
        for dialect in dialects {
            let labels = [("dialect", dialect.name)];
            count_one(&mut family.encode_family(&labels)?, dialect.refused)?;
        }
        let help = "Requests of a dialect, by what became of them";
        let mut family = self.family("dialect_requests", help, None, counter)?;
        for dialect in dialects {
            for (outcome, count) in &dialect.requests {
                let labels = [("dialect", dialect.name), ("outcome", outcome)];
                count_one(&mut family.encode_family(&labels)?, *count)?;
            }
        }
        Ok(())
    }

    fn catalog(&mut self, catalog: &Catalog) -> fmt::Result {
        self.gauge("catalog_services", "Services in the catalog", catalog.services)?;
        let help = "Instances in the catalog, by the source that is believed, and how they are";
        let mut family = self.family("catalog_instances", help, None, MetricType::Gauge)?;
        for ((source, health), count) in &catalog.instances {
            let labels = [("source", *source), ("health", *health)];
            family.encode_family(&labels)?.encode_gauge(&signed(*count))?;
        }
        let help = "The number of the last change of the catalog, from 0 with each start";
        self.gauge("catalog_sequence", help, catalog.sequence)?;
        let help = "Addresses of configured subnets that services have";
        self.gauge("catalog_allocations", help, catalog.allocations)
    }

    /// Of several certificates for a name the one that ends first. Tells how many were left out.
    fn expiries(&mut self, name: &str, help: &str, all: &[Expiry]) -> Result<usize, fmt::Error> {
        let mut first = BTreeMap::<&str, UnixMillis>::new();
        for Expiry { name, at } in all {
            let known = first.entry(name).or_insert(*at);
            *known = (*known).min(*at);
        }
        let mut sorted: Vec<_> = first.into_iter().map(|(name, at)| (at, name)).collect();
        sorted.sort_unstable();
        let left = sorted.len().saturating_sub(NAMES_MAX);
        let mut family = self.family(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (at, name) in sorted.into_iter().take(NAMES_MAX) {
            family.encode_family(&[("name", name)])?.encode_gauge(&signed(at.0 / 1000))?;
        }
        Ok(left)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl TryInto<i64>) -> fmt::Result {
        self.family(name, help, None, MetricType::Gauge)?.encode_gauge(&signed(value))
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, usize)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, None, MetricType::Gauge)?;
        for (of, value) in values {
            family.encode_family(&[(label, of)])?.encode_gauge(&signed(value))?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        count_one(&mut self.family(name, help, None, MetricType::Counter)?, value)
    }

    fn by_route(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        routes: &[Route],
        value: impl Fn(&Route) -> u64,
    ) -> fmt::Result {
        let mut family = self.family(name, help, unit, MetricType::Counter)?;
        for route in routes {
            let labels = [("route", route.id.as_str())];
            count_one(&mut family.encode_family(&labels)?, value(route))?;
        }
        Ok(())
    }

    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }
}

fn count_one(encoder: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}

/// Prometheus counts in floating point: nothing of ours is as large as it can be here.
fn signed(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use telemetry::{HistogramPool, RouteStats, Sample, Totals};

    use super::*;
    use crate::source::Issued;

    #[derive(Debug)]
    struct Made {
        numbers: Numbers,
        routes: Vec<(RouteId, Totals)>,
    }

    impl Source for Made {
        fn is_ready(&self) -> bool {
            true
        }

        fn admits(&self, _: Option<&str>) -> bool {
            true
        }

        fn numbers(&self) -> Numbers {
            self.numbers.clone()
        }

        fn each_route(&self, tell: &mut dyn FnMut(RouteId, &Totals)) {
            self.routes.iter().for_each(|(id, totals)| tell(*id, totals));
        }
    }

    fn rendered(numbers: Numbers, routes: Vec<(RouteId, Totals)>) -> String {
        let source: Arc<dyn Source> = Arc::new(Made { numbers, routes });
        render(&source).unwrap()
    }

    fn totals(samples: &[(u16, u64)]) -> Totals {
        let stats = RouteStats::new(1, &Arc::new(HistogramPool::default()));
        for (status, millis) in samples {
            let sample = Sample {
                status: *status,
                failed: *status >= 500,
                latency: Duration::from_millis(*millis),
                bytes_sent: 10,
                bytes_received: 1,
            };
            stats.record(0, &sample);
        }
        stats.totals()
    }

    fn expiry(name: &str, seconds: u64) -> Expiry {
        Expiry { name: name.to_owned(), at: UnixMillis(seconds * 1000 + 999) }
    }

    #[test]
    fn every_number_has_its_line() {
        let numbers = Numbers {
            version: "1.2.3",
            generation: 7,
            routes: 2,
            sessions: 1,
            in_flight: 3,
            connections: vec![4, 5],
            certificates: vec![expiry("a.test", 20), expiry("a.test", 10), expiry("*.b.test", 30)],
            registry_certificates: vec![expiry("a.test", 40)],
            issued: Some(Issued { issued: 8, renewed: 9, failed: 10 }),
            dialects: vec![Dialect {
                name: "dns",
                connections: 11,
                refused: 12,
                requests: vec![("noerror", 13), ("nxdomain", 0)],
            }],
            catalog: Catalog {
                services: 14,
                instances: BTreeMap::from([(("session", "good"), 15), (("file", "bad"), 16)]),
                sequence: 17,
                allocations: 18,
            },
        };
        let text = rendered(numbers, vec![(RouteId(5), totals(&[(200, 3), (204, 30), (502, 3)]))]);
        for line in [
            "proxyd_build_info{version=\"1.2.3\"} 1",
            "proxyd_generation 7",
            "proxyd_routes 2",
            "proxyd_sessions 1",
            "proxyd_requests_in_flight 3",
            "proxyd_connections{worker=\"0\"} 4",
            "proxyd_connections{worker=\"1\"} 5",
            "proxyd_acme_issued_total 8",
            "proxyd_acme_renewed_total 9",
            "proxyd_acme_failures_total 10",
            "proxyd_certificate_expiry_timestamp_seconds{name=\"a.test\"} 10",
            "proxyd_certificate_expiry_timestamp_seconds{name=\"*.b.test\"} 30",
            "proxyd_registry_certificate_expiry_timestamp_seconds{name=\"a.test\"} 40",
            "proxyd_requests_total{route=\"r5\",code=\"2xx\"} 2",
            "proxyd_requests_total{route=\"r5\",code=\"5xx\"} 1",
            "proxyd_request_errors_total{route=\"r5\"} 1",
            "proxyd_sent_bytes_total{route=\"r5\"} 30",
            "proxyd_received_bytes_total{route=\"r5\"} 3",
            "proxyd_request_duration_seconds_sum{route=\"r5\"} 0.036",
            "proxyd_request_duration_seconds_count{route=\"r5\"} 3",
            "proxyd_request_duration_seconds_bucket{le=\"0.002\",route=\"r5\"} 0",
            "proxyd_request_duration_seconds_bucket{le=\"0.005\",route=\"r5\"} 2",
            "proxyd_request_duration_seconds_bucket{le=\"+Inf\",route=\"r5\"} 3",
            "proxyd_dialect_connections{dialect=\"dns\"} 11",
            "proxyd_dialect_refused_connections_total{dialect=\"dns\"} 12",
            "proxyd_dialect_requests_total{dialect=\"dns\",outcome=\"noerror\"} 13",
            "proxyd_dialect_requests_total{dialect=\"dns\",outcome=\"nxdomain\"} 0",
            "proxyd_catalog_services 14",
            "proxyd_catalog_instances{source=\"session\",health=\"good\"} 15",
            "proxyd_catalog_instances{source=\"file\",health=\"bad\"} 16",
            "proxyd_catalog_sequence 17",
            "proxyd_catalog_allocations 18",
            "proxyd_unlisted{what=\"routes\"} 0",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("name=\"a.test\"").count(), 2, "{text}");
    }

    #[test]
    fn as_many_series_as_there_may_be_and_no_more() {
        let one = totals(&[(200, 1)]);
        let routes = (0..=ROUTES_MAX as u64).map(|id| (RouteId(id), one.clone())).collect();
        let names = 0..=NAMES_MAX as u64;
        let certificates = names.map(|at| expiry(&format!("n{at}.test"), at)).collect();
        let text = rendered(Numbers { certificates, ..Numbers::default() }, routes);
        let lines = |begin: &str| text.lines().filter(|line| line.starts_with(begin)).count();
        assert_eq!(lines("proxyd_requests_total{"), ROUTES_MAX);
        assert_eq!(lines("proxyd_certificate_expiry_timestamp_seconds{"), NAMES_MAX);
        assert!(!text.contains(&format!("\"n{NAMES_MAX}.test\"")), "the one that ends last");
        for what in ["routes", "certificates"] {
            assert!(text.contains(&format!("proxyd_unlisted{{what=\"{what}\"}} 1\n")));
        }
    }
}
