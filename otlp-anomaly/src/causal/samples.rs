//! What was measured of the nodes of a graph.

use std::collections::BTreeMap;

use otlp_core::{Error, ErrorKind, Result};

/// Columns of equal length by node: row for row measured together, in order of time where time matters.
///
/// ```
/// use otlp_anomaly::causal::Samples;
/// let samples = Samples::new([("db", &[1.0, 2.0][..]), ("shop", &[3.0, 5.0])])?;
/// assert_eq!((samples.rows(), samples.column("shop")), (2, Some(&[3.0, 5.0][..])));
/// let gap = Samples::new([("db", &[1.0, f64::NAN][..])]).unwrap_err();
/// assert_eq!(gap.to_string(), "samples: row 1 of `db` is no finite number");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples<'a> {
    columns: BTreeMap<&'a str, &'a [f64]>,
    rows: usize,
}

const MAX_ROWS: usize = 1 << 20;

impl<'a> Samples<'a> {
    /// Samples of some nodes. Copies no values; O(values).
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where a value is not finite (rows that lack a value are the caller's to leave out), columns
    /// differ in length, or a node has two. [`ErrorKind::Limit`] past 1,048,576 rows.
    pub fn new(columns: impl IntoIterator<Item = (&'a str, &'a [f64])>) -> Result<Self> {
        let mut samples = Self::default();
        for (name, values) in columns {
            if samples.columns.is_empty() {
                samples.rows = values.len();
            }
            if values.len() != samples.rows {
                let (met, rows) = (values.len(), samples.rows);
                return Err(malformed(format!("`{name}` has {met} rows where others have {rows}")));
            }
            if values.len() > MAX_ROWS {
                let message = format!("samples: {} rows exceed limit {MAX_ROWS}", values.len());
                return Err(Error::new(ErrorKind::Limit, message));
            }
            if let Some(row) = values.iter().position(|value| !value.is_finite()) {
                return Err(malformed(format!("row {row} of `{name}` is no finite number")));
            }
            if samples.columns.insert(name, values).is_some() {
                return Err(malformed(format!("two columns of `{name}`")));
            }
        }
        Ok(samples)
    }

    /// Rows of each column.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// What was measured of a node.
    #[must_use]
    pub fn column(&self, node: &str) -> Option<&'a [f64]> {
        self.columns.get(node).copied()
    }

    pub(super) fn needed(&self, node: &str) -> Result<&'a [f64]> {
        self.column(node).ok_or_else(|| malformed(format!("none of `{node}`, which the question needs")))
    }
}

pub(super) fn malformed(what: impl AsRef<str>) -> Error {
    Error::new(ErrorKind::Malformed, format!("samples: {}", what.as_ref()))
}
