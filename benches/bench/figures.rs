//! Medians, ratios and Markdown.

use std::time::Duration;

/// What was measured of one kind.
#[derive(Debug, Default, Clone)]
pub struct Sample(Vec<Duration>);

impl Sample {
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds; the `percent` smallest lie below.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation
        )]
        let place = (sorted.len() as f64 * percent / 100.0) as usize;
        let value = sorted.get(place.min(sorted.len().saturating_sub(1)));
        value.map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A table's head, and what its figures mean.
pub fn head(title: &str, columns: &[&str]) {
    println!("\n{title}\n");
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
}

pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// The rows of a comparison: p50 and p99 of one and the other, and their ratio.
pub fn compare(what: &str, ours: &Sample, bare: &Sample) {
    for percent in [50.0, 99.0] {
        let (one, other) = (ours.percentile(percent), bare.percentile(percent));
        row(&[
            format!("{what}, p{percent}"),
            format!("{one:.2} ms"),
            format!("{other:.2} ms"),
            format!("**{:.2}**", one / other),
            format!("{} / {}", ours.len(), bare.len()),
        ]);
    }
}
