//! Percentiles, medians, and tables in Markdown.

use std::time::Duration;

/// How long each command of one kind took.
#[derive(Debug, Default, Clone)]
pub struct Durations(Vec<Duration>);

impl Durations {
    pub fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds: `percent` of all are below it.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation
        )]
        let index = (sorted.len() as f64 * percent / 100.0) as usize;
        let value = sorted.get(index.min(sorted.len().saturating_sub(1)));
        value.map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a table's title and head.
pub fn head(title: &str, columns: &[&str]) {
    println!("\n{title}\n");
    println!("| {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len()));
}

/// Prints a row of the table.
pub fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// Prints two rows, p50 and p99: the measured, its reference, and the ratio between them.
pub fn compare(what: &str, measured: &Durations, reference: &Durations) {
    for percent in [50.0, 99.0] {
        let (one, other) = (measured.percentile(percent), reference.percentile(percent));
        row(&[
            format!("{what}, p{percent}"),
            format!("{one:.2} ms"),
            format!("{other:.2} ms"),
            format!("**{:.2}**", one / other),
            format!("{} / {}", measured.len(), reference.len()),
        ]);
    }
}
