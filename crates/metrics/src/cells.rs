//! Numbers that are only added to: counters by labels, and histograms.
//!
//! Invariant: adding touches atomic numbers only; no lock, no allocation.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter for each combination of words.
#[derive(Debug)]
pub(crate) struct Counts {
    lists: Vec<&'static [&'static str]>,
    cells: Vec<AtomicU64>,
}

impl Counts {
    /// Returns counters at 0, one for each combination of words of these lists.
    pub fn of(lists: &[&'static [&'static str]]) -> Self {
        let size = lists.iter().map(|list| list.len()).product();
        Self { lists: lists.to_vec(), cells: std::iter::repeat_with(AtomicU64::default).take(size).collect() }
    }

    /// Adds one at these places of the lists.
    pub fn add(&self, places: &[usize]) {
        let index = self.lists.iter().zip(places).fold(0, |index, (list, place)| index * list.len() + place);
        if let Some(cell) = self.cells.get(index) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns each combination of words with its number.
    pub fn read(&self) -> impl Iterator<Item = (Vec<&'static str>, u64)> {
        self.cells.iter().enumerate().map(|(index, cell)| (self.words(index), cell.load(Ordering::Relaxed)))
    }

    fn words(&self, mut index: usize) -> Vec<&'static str> {
        let mut words: Vec<&str> = Vec::with_capacity(self.lists.len());
        for list in self.lists.iter().rev() {
            words.push(list.get(index % list.len()).copied().unwrap_or_default());
            index /= list.len();
        }
        words.reverse();
        words
    }
}

/// A histogram of whole numbers: milliseconds or octets.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    cells: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// What a histogram holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HistogramValues {
    /// Upper bounds, and the number in each; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    pub sum: f64,
    pub count: u64,
}

impl Histogram {
    /// Returns an empty histogram with these upper bounds, which include their own value.
    pub fn of(bounds: &'static [u64]) -> Self {
        Self { bounds, cells: std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect(), sum: AtomicU64::new(0) }
    }

    /// Adds a value.
    pub fn add(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
        if let Some(cell) = self.cells.get(place) {
            cell.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Returns its values, divided by `unit`: 1000 makes seconds of milliseconds.
    pub fn read(&self, unit: u32) -> HistogramValues {
        let counts = self.cells.iter().map(|cell| cell.load(Ordering::Relaxed));
        values(self.bounds, counts, self.sum.load(Ordering::Relaxed), unit)
    }
}

/// Returns the values of buckets with these bounds.
pub(crate) fn values(bounds: &[u64], counts: impl Iterator<Item = u64>, sum: u64, unit: u32) -> HistogramValues {
    let bounds = bounds.iter().map(|bound| float(*bound) / f64::from(unit)).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    HistogramValues { buckets, sum: float(sum) / f64::from(unit), count }
}

/// Returns the nearest floating-point number.
#[allow(clippy::cast_precision_loss)] // beyond 2^53 a measurement may be rounded
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_has_its_cell() {
        let counts = Counts::of(&[&["a", "b"], &["x", "y", "z"]]);
        counts.add(&[1, 2]);
        counts.add(&[1, 2]);
        counts.add(&[0, 1]);
        counts.add(&[9, 9]);
        let read: Vec<_> = counts.read().filter(|(_, n)| *n > 0).collect();
        assert_eq!(read, [(vec!["a", "y"], 1), (vec!["b", "z"], 2)]);
        assert_eq!(counts.read().count(), 6);
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::of(&[10, 1000]);
        for value in [0, 10, 11, 1000, 1001] {
            histogram.add(value);
        }
        let values = histogram.read(1000);
        assert_eq!(values.buckets, [(0.01, 2), (1.0, 2), (f64::INFINITY, 1)]);
        assert_eq!((values.sum, values.count), (2.022, 5));
    }
}
