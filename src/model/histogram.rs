//! Quantiles of a histogram, computed as Prometheus does (Prometheus documentation, `histogram_quantile`).

/// Upper bound and cumulative count of each bucket, by ascending bound.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// From upper bounds, which may be infinite, and cumulative counts, in any order. Bounds that are NaN are left out.
    pub fn of(mut buckets: Vec<(f64, f64)>) -> Histogram {
        buckets.retain(|(bound, _)| !bound.is_nan());
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Histogram(buckets)
    }

    /// The histogram of what was counted since `before`. `None` if the buckets differ, or if a count went back.
    pub fn since(&self, before: &Histogram) -> Option<Histogram> {
        let pairs = || self.0.iter().zip(&before.0);
        let goes_on = pairs().all(|((bound, count), (old_bound, old))| bound == old_bound && count >= old);
        let since = || pairs().map(|((bound, count), (_, old))| (*bound, count - old)).collect();
        (goes_on && self.0.len() == before.0.len()).then(|| Histogram(since()))
    }

    /// The value below which `share` (0 to 1) of all values lie, interpolated linearly within its bucket. If it lies in
    /// the bucket without a finite bound, the largest finite bound. `None` if nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let (_, all) = self.0.last().filter(|(_, all)| *all > 0.0)?;
        let wanted = share * all;
        let mut below = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if bound.is_infinite() {
                break;
            }
            if count >= wanted {
                let (low, before) = below;
                let in_bucket = count - before;
                return Some(if in_bucket > 0.0 { low + (wanted - before) / in_bucket * (bound - low) } else { bound });
            }
            below = (bound, count);
        }
        (below.0 > 0.0).then_some(below.0)
    }
}
