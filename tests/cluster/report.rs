//! The table of what must be reached, what was, and every violation.

mod rows;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

use crate::settings::Settings;
use rows::Limit::{self, Least, Most, MostTime, None as Info};
use rows::Summary::{self, Largest, Median, Percentile99, Smallest, Sum};
use rows::{ROWS, Row};

/// How much larger a time may be in a build without optimization.
const WITHOUT_OPTIMIZATION: f64 = 3.0;

/// So many violations of each promise are shown. All are counted.
const SHOWN: usize = 10;

#[derive(Default)]
pub struct Report {
    figures: Mutex<BTreeMap<&'static str, Vec<f64>>>,
    codes: Mutex<BTreeMap<String, u64>>,
    acts: Mutex<BTreeMap<&'static str, u64>>,
    violations: Mutex<Vec<(&'static str, String)>>,
}

impl Report {
    pub fn sample(&self, figure: &'static str, value: f64) {
        self.figures
            .lock()
            .unwrap()
            .entry(figure)
            .or_default()
            .push(value);
    }

    /// Nanoseconds, as milliseconds.
    #[allow(clippy::cast_precision_loss)]
    pub fn time(&self, figure: &'static str, nanoseconds: u64) {
        self.sample(figure, nanoseconds as f64 / 1e6);
    }

    #[allow(clippy::cast_precision_loss)]
    pub fn count(&self, figure: &'static str, count: usize) {
        self.sample(figure, count as f64);
    }

    pub fn code(&self, code: &str) {
        *self
            .codes
            .lock()
            .unwrap()
            .entry(code.to_owned())
            .or_default() += 1;
    }

    pub fn act(&self, name: &'static str) {
        *self.acts.lock().unwrap().entry(name).or_default() += 1;
    }

    pub fn median(&self, figure: &'static str) -> Option<f64> {
        let figures = self.figures.lock().unwrap();
        summary(Median, figures.get(figure)?)
    }

    pub fn violation(&self, promise: &'static str, text: String) {
        let mut violations = self.violations.lock().unwrap();
        let before = violations.iter().filter(|(of, _)| *of == promise).count();
        if before < SHOWN {
            println!("VIOLATION ({promise}) {text}");
        }
        violations.push((promise, text));
    }

    /// How often each promise was broken.
    pub fn broken(&self) -> BTreeMap<&'static str, usize> {
        let mut broken = BTreeMap::new();
        for (promise, _) in self.violations.lock().unwrap().iter() {
            *broken.entry(*promise).or_default() += 1;
        }
        broken
    }

    /// The table, and how much is wrong: violations, and figures beyond their limit.
    pub fn table(&self, settings: &Settings) -> (String, usize) {
        let mut text = format!(
            "\nCluster run: seed {}, {} rooms, polls {:?} ms, {}\n\n| | must reach | reached | samples | |\n|---|---|---|---|---|\n",
            settings.seed,
            settings.rooms,
            settings.poll,
            if settings.strict {
                "times judged in full"
            } else {
                "times judged threefold"
            },
        );
        let figures = self.figures.lock().unwrap();
        let mut wrong = 0;
        for row in ROWS {
            let samples = figures.get(row.figure).map_or(&[][..], Vec::as_slice);
            let Some(reached) = summary(row.summary, samples) else {
                let _ = writeln!(text, "| {} | {} | not tried | 0 | |", row.what, words(row));
                continue;
            };
            let held = holds(row.limit, reached, settings.strict);
            wrong += usize::from(!held);
            let verdict = if held { "" } else { "**missed**" };
            let _ = writeln!(
                text,
                "| {} | {} | {} {} | {} | {verdict} |",
                row.what,
                words(row),
                number(reached),
                row.unit,
                samples.len()
            );
        }
        let list = |counts: &BTreeMap<String, u64>| -> Vec<String> {
            counts
                .iter()
                .map(|(name, count)| format!("{name} {count}"))
                .collect()
        };
        let acts = self.acts.lock().unwrap();
        let acts = acts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        let _ = writeln!(
            text,
            "\nResults: {}.",
            list(&self.codes.lock().unwrap()).join(", ")
        );
        let _ = writeln!(text, "Acts: {}.", list(&acts).join(", "));
        let violations = self.violations.lock().unwrap();
        let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
        for (promise, violation) in violations.iter() {
            let shown = shown.entry(promise).or_default();
            *shown += 1;
            if *shown <= SHOWN {
                let _ = writeln!(
                    text,
                    "\nVIOLATION ({promise}), seed {}, {violation}",
                    settings.seed
                );
            }
        }
        for (promise, count) in shown {
            let _ = writeln!(text, "\nViolations ({promise}): {count}");
        }
        (text, wrong + violations.len())
    }
}

fn words(row: &Row) -> String {
    match row.limit {
        Most(limit) | MostTime(limit) => format!("≤ {} {}", number(limit), row.unit),
        Least(limit) => format!("≥ {} {}", number(limit), row.unit),
        Info => String::new(),
    }
}

fn number(value: f64) -> String {
    if value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn holds(limit: Limit, reached: f64, strict: bool) -> bool {
    match limit {
        Most(limit) => reached <= limit,
        Least(limit) => reached >= limit,
        MostTime(limit) if strict => reached <= limit,
        MostTime(limit) => reached <= limit * WITHOUT_OPTIMIZATION,
        Info => true,
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn summary(summary: Summary, samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |part: f64| {
        sorted
            .get(((sorted.len() as f64 * part).ceil() as usize).max(1) - 1)
            .copied()
    };
    match summary {
        Largest => sorted.last().copied(),
        Smallest => sorted.first().copied(),
        Median => at(0.5),
        Percentile99 => at(0.99),
        Sum => (!sorted.is_empty()).then(|| sorted.iter().sum()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_figures() {
        let samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        for (kind, expected) in [
            (Largest, 200.0),
            (Smallest, 1.0),
            (Median, 100.0),
            (Percentile99, 198.0),
            (Sum, 20_100.0),
        ] {
            assert_eq!(summary(kind, &samples), Some(expected), "{kind:?}");
            assert_eq!(summary(kind, &[]), None, "{kind:?}");
        }
        assert_eq!(summary(Percentile99, &[3.0]), Some(3.0));
    }

    #[test]
    fn a_figure_beyond_its_limit_and_a_violation_are_wrong() {
        let settings = Settings {
            strict: true,
            ..Settings::from_environment()
        };
        let report = Report::default();
        report.time("gap", 310_000_000);
        assert_eq!(report.table(&settings).1, 0);
        report.time("gap", 290_000_000);
        let (text, wrong) = report.table(&settings);
        assert_eq!(wrong, 1, "{text}");
        assert!(text.contains("290 ms | 2 | **missed** |"), "{text}");
        report.violation("overlaps", "made up".into());
        assert_eq!(report.table(&settings).1, 2);
        let lenient = Settings {
            strict: false,
            ..settings
        };
        report.time("kill owned", 4_000_000_000);
        assert_eq!(report.table(&lenient).1, 2);
    }
}
