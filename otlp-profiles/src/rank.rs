//! The listing everybody looks at first: which functions take the most.

use std::fmt;

use crate::profile::{Profile, ValueType};
use crate::tree::{CallTree, Negative};
use crate::write::Amount;

/// The functions that weigh most.
///
/// `Display` prints it as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Top {
    /// What the numbers mean.
    pub value_type: ValueType,
    /// The sum over all samples.
    pub total: i64,
    /// The functions, heaviest first.
    pub rows: Vec<TopRow>,
    /// Functions that are not among the rows.
    pub left_out: usize,
}

/// One function.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopRow {
    /// Its name.
    pub name: String,
    /// What was sampled in the function itself.
    pub flat: i64,
    /// What was sampled in it or in whatever it called; recursion counts once.
    pub cumulative: i64,
}

impl Profile {
    /// The `limit` functions that weigh most in themselves, of the default value type.
    ///
    /// Sorted by flat, then cumulative weight, then name. Frames of one name count as one function.
    /// Costs O(nodes of all stacks + samples).
    ///
    /// ```
    /// use otlp_profiles::{Limits, Profile, ValueType};
    /// let folded = b"main;fib;fib;fib 7\nmain 3";
    /// let profile = Profile::parse_folded(folded, ValueType::samples(), &Limits::default())?;
    /// let top = profile.top(10);
    /// assert_eq!((top.rows[0].name.as_str(), top.rows[0].flat, top.rows[0].cumulative), ("fib", 7, 7));
    /// assert_eq!((top.rows[1].name.as_str(), top.rows[1].flat, top.rows[1].cumulative), ("main", 3, 10));
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    #[must_use]
    pub fn top(&self, limit: usize) -> Top {
        let tree = CallTree::of(self, None, Negative::Keep);
        let sums = tree.functions();
        let mut order: Vec<_> = tree.names.iter().zip(&sums).collect();
        order.sort_by_key(|&(&name, ([flat, _], [cumulative, _]))| {
            (std::cmp::Reverse((*flat, *cumulative)), name)
        });
        let left_out = order.len().saturating_sub(limit);
        order.truncate(limit);
        let row = |(name, (flat, cumulative)): (&&str, &([i64; 2], [i64; 2]))| TopRow {
            name: (*name).to_owned(),
            flat: flat[0],
            cumulative: cumulative[0],
        };
        Top {
            value_type: self.default_value().clone(),
            total: self.total(),
            rows: order.into_iter().map(row).collect(),
            left_out,
        }
    }
}

impl fmt::Display for Top {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = |value| Amount::new(value, &self.value_type.unit).to_string();
        writeln!(f, "{} of {}", amount(self.total), self.value_type.kind)?;
        writeln!(f, "{:>10} {:>6} {:>10} {:>6}", "flat", "flat%", "cum", "cum%")?;
        for row in &self.rows {
            let (flat, cumulative) = (amount(row.flat), amount(row.cumulative));
            let (flat_share, cumulative_share) = (self.percent(row.flat), self.percent(row.cumulative));
            writeln!(
                f,
                "{flat:>10} {flat_share:>6.2} {cumulative:>10} {cumulative_share:>6.2}  {}",
                row.name
            )?;
        }
        if self.left_out > 0 {
            writeln!(f, "and {} more functions", self.left_out)?;
        }
        Ok(())
    }
}

impl Top {
    fn percent(&self, value: i64) -> f64 {
        if self.total == 0 { 0.0 } else { value as f64 / self.total as f64 * 100.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn top(folded: &str, limit: usize) -> Top {
        let profile = Profile::parse_folded(folded.as_bytes(), ValueType::samples(), &Limits::default());
        profile.unwrap().top(limit)
    }

    fn row(top: &Top, name: &str) -> (i64, i64) {
        let row = top.rows.iter().find(|row| row.name == name).unwrap();
        (row.flat, row.cumulative)
    }

    #[test]
    fn recursion_through_another_function_counts_once() {
        let top = top("main;a;b;a;b 5\nmain;a 1\nmain;b;a 2", 10);
        assert_eq!(row(&top, "a"), (3, 8));
        assert_eq!(row(&top, "b"), (5, 7));
        assert_eq!(row(&top, "main"), (0, 8));
        assert_eq!(top.total, 8);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let top = top("a 1\nb 2\nc 3", 2);
        let names: Vec<_> = top.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!((names, top.left_out), (vec!["c", "b"], 1));
        assert!(top.to_string().ends_with("and 1 more functions\n"));
    }

    #[test]
    fn negative_values_lower_the_sums() {
        let top = top("main;a 5\nmain;b -2", 10);
        assert_eq!(row(&top, "main"), (0, 3));
        assert_eq!(top.rows.last().unwrap().name, "b");
    }

    #[test]
    fn an_empty_profile_has_an_empty_table() {
        let top = top("", 10);
        assert_eq!((top.total, top.rows.len(), top.left_out), (0, 0, 0));
        assert!(top.to_string().starts_with("0 of samples"));
    }
}
