//! Quantiles of what was counted by buckets, as Prometheus computes them (Prometheus documentation, `histogram_quantile`).

/// Buckets in the order of their bounds, each with how many values are at most that.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// Of buckets in whatever order, each with its bound, which may be infinite, and its count.
    pub fn of(mut buckets: Vec<(f64, f64)>) -> Histogram {
        buckets.retain(|(bound, _)| !bound.is_nan());
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Histogram(buckets)
    }

    /// What was counted since then; `None` where it has other buckets, or fewer values.
    pub fn since(&self, before: &Histogram) -> Option<Histogram> {
        let pairs = || self.0.iter().zip(&before.0);
        let goes_on = pairs().all(|((bound, count), (old_bound, old))| bound == old_bound && count >= old);
        let since = || pairs().map(|((bound, count), (_, old))| (*bound, count - old)).collect();
        (goes_on && self.0.len() == before.0.len()).then(|| Histogram(since()))
    }

    /// The value below which that share of all is, on a line between the bounds of its bucket; the largest finite bound where
    /// it is above that. `None` where there is no value.
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
