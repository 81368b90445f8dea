//! Values of a server's own Prometheus page, for comparison.

use crate::server::http;

/// The sum of the samples with this name that have all these labels, each written as `name="text"`; `None` if there are
/// none.
pub fn on_page(port: u16, name: &str, labels: &[&str]) -> Option<f64> {
    let (_, page) = http(port, "GET", "/metrics")?;
    let is_it =
        |line: &&str| line.split(['{', ' ']).next() == Some(name) && labels.iter().all(|label| line.contains(label));
    let values = page.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.reduce(|sum, value| sum + value)
}
