//! A table of measurements as Markdown: each cell the median of its series, and in brackets ours divided by theirs. In
//! every table less is better.

use std::time::Duration;

/// For each line, one series for each column; the first column is ours.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<String>,
    lines: Vec<(String, Vec<Vec<f64>>)>,
}

impl Table {
    pub(crate) fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), lines: Vec::new() }
    }

    /// One more value of a cell; a line's place is where it was first measured.
    pub(crate) fn add(&mut self, line: &str, column: usize, value: f64) {
        let found = self.lines.iter().position(|(name, _)| name == line);
        let at = found.unwrap_or_else(|| {
            self.lines.push((line.to_owned(), vec![Vec::new(); self.columns.len()]));
            self.lines.len() - 1
        });
        self.lines[at].1[column].push(value);
    }

    /// As [`Self::add`], in milliseconds.
    pub(crate) fn add_time(&mut self, line: &str, column: usize, elapsed: Duration) {
        self.add(line, column, elapsed.as_secs_f64() * 1000.0);
    }

    pub(crate) fn print(&self) {
        println!("\n| | {} |", self.columns.join(" | "));
        println!("|---|{}", "---:|".repeat(self.columns.len()));
        for (name, series) in &self.lines {
            let medians: Vec<Option<f64>> = series.iter().map(|values| median(values)).collect();
            let cells: Vec<String> =
                medians.iter().enumerate().map(|(at, value)| cell(at, *value, medians[0])).collect();
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
}

fn cell(column: usize, value: Option<f64>, ours: Option<f64>) -> String {
    match (value, ours) {
        (None, _) => "–".to_owned(),
        (Some(theirs), Some(ours)) if column > 0 && theirs > 0.0 => {
            format!("{theirs:.1} ({:.2})", ours / theirs)
        }
        (Some(value), _) => format!("{value:.1}"),
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
