//! Numbers with units, for people.

use std::fmt;

/// A value in the unit of its profile, printed with a fitting multiple: `1.50 s`, `12.0 KiB`, `1,234`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount<'a> {
    value: i64,
    unit: &'a str,
}

impl<'a> Amount<'a> {
    pub(crate) fn new(value: i64, unit: &'a str) -> Self {
        Self { value, unit }
    }

    /// Multiples of the unit, largest first: the size of one and its name.
    fn scale(self) -> &'static [(f64, &'static str)] {
        match self.unit {
            "nanoseconds" | "ns" => &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")],
            "microseconds" | "us" => &[(1e6, "s"), (1e3, "ms"), (1.0, "µs")],
            "milliseconds" | "ms" => &[(1e3, "s"), (1.0, "ms")],
            "bytes" | "By" => &[(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")],
            _ => &[],
        }
    }
}

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.value as f64;
        let scale = self.scale();
        let fitting = scale.iter().find(|(multiple, _)| size.abs() >= *multiple).or(scale.last());
        let Some((multiple, name)) = fitting else { return f.write_str(&grouped(self.value)) };
        let scaled = size / multiple;
        let decimals = match scaled.abs() {
            _ if *multiple == 1.0 => 0,
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        // Through a string, so that a width applies to the whole.
        f.pad(&format!("{scaled:.decimals$} {name}"))
    }
}

/// A whole number with a comma before each group of three digits.
pub(crate) fn grouped(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_scaled_for_people() {
        let print = |value, unit| Amount::new(value, unit).to_string();
        assert_eq!(print(1_500_000_000, "nanoseconds"), "1.50 s");
        assert_eq!(print(20_000_000, "nanoseconds"), "20.0 ms");
        assert_eq!(print(-2048, "bytes"), "-2.00 KiB");
        assert_eq!(print(999, "bytes"), "999 B");
        assert_eq!(print(0, "nanoseconds"), "0 ns");
        assert_eq!(print(1_234_567, "count"), "1,234,567");
        assert_eq!(print(i64::MIN, "count"), "-9,223,372,036,854,775,808");
    }
}
