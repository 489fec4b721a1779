//! The stock table: a row of text for each item, read anew for each request.

use std::fmt::Write as _;
use std::num::ParseIntError;

use super::super::db::{PRODUCTS, sku};
use super::super::random::Random;

/// Rows with a quantity from here on are written with a separator by [`Format::Localised`].
const LARGE: u32 = 1_000;
/// A quantity never falls below its floor by reservations: it is restocked to floor and this.
const RESTOCK: u32 = 400;
/// Bins of one item.
const BINS: u32 = 24;

/// All rows, by the number of the item.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<String>,
}

/// How quantities are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `1204`
    Plain,
    /// `1,204`, which nobody here can read.
    Localised,
}

/// A row, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StockRow {
    /// Pieces on the shelves.
    pub(crate) quantity: u32,
    /// Where they are.
    pub(crate) bins: Vec<String>,
}

/// What taking pieces did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Pieces left.
    pub(crate) left: u32,
    /// Whether new ones were brought.
    pub(crate) restocked: bool,
}

/// Why a row gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No row for that item.
    Unknown,
    /// A field is not what it must be.
    Unreadable {
        /// Which field.
        field: &'static str,
        /// What the parser said.
        source: ParseIntError,
    },
    /// More asked for than there is.
    TooFew {
        /// Pieces there are.
        left: u32,
    },
}

impl Table {
    /// The table of the seed: three items in ten are there in large quantities.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut random = Random::new(seed, 3);
        let row = |number: u32| {
            let quantity = if is_large(number) {
                LARGE + RESTOCK + random.below(8 * LARGE)
            } else {
                RESTOCK + random.below(LARGE - RESTOCK)
            };
            let bins = (0..BINS).map(|_| format!("{:02}-{:03}", random.below(40), random.below(600)));
            write_row(&sku(number), quantity, &bins.collect::<Vec<_>>(), Format::Plain)
        };
        Self { rows: (0..PRODUCTS).map(row).collect() }
    }

    /// Rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Reads the row of `sku`.
    pub(crate) fn read(&self, sku: &str) -> Result<StockRow, Refused> {
        let place = place(sku).ok_or(Refused::Unknown)?;
        parse_row(self.rows.get(place).ok_or(Refused::Unknown)?)
    }

    /// Takes `quantity` pieces, and restocks where few are left.
    pub(crate) fn take(&mut self, sku: &str, quantity: u32) -> Result<Taken, Refused> {
        let row = self.read(sku)?;
        let left = row.quantity.checked_sub(quantity).ok_or(Refused::TooFew { left: row.quantity })?;
        let floor = if row.quantity >= LARGE { LARGE } else { 0 };
        let restocked = left < floor + RESTOCK / 8;
        let left = if restocked { floor + RESTOCK } else { left };
        self.write(sku, left, &row.bins)?;
        Ok(Taken { left, restocked })
    }

    /// Puts `quantity` pieces back, and says how many there are now.
    pub(crate) fn put_back(&mut self, sku: &str, quantity: u32) -> Result<u32, Refused> {
        let row = self.read(sku)?;
        let left = row.quantity.saturating_add(quantity);
        // A small quantity stays small: it must not become unreadable by being put back.
        let left = if row.quantity < LARGE { left.min(LARGE - 1) } else { left };
        self.write(sku, left, &row.bins)?;
        Ok(left)
    }

    /// Writes all rows anew in `format`, as if they came from another source.
    pub(crate) fn reload(&mut self, format: Format) {
        for row in &mut self.rows {
            let plain = row.replace(',', "");
            let name = plain.split(';').next().unwrap_or_default();
            if let Ok(stock) = parse_row(&plain) {
                *row = write_row(name, stock.quantity, &stock.bins, format);
            }
        }
    }

    fn write(&mut self, sku: &str, quantity: u32, bins: &[String]) -> Result<(), Refused> {
        let row = place(sku).and_then(|place| self.rows.get_mut(place)).ok_or(Refused::Unknown)?;
        *row = write_row(sku, quantity, bins, Format::Plain);
        Ok(())
    }
}

/// `sku-00011;1204;03-117 09-002 ...`
fn write_row(sku: &str, quantity: u32, bins: &[String], format: Format) -> String {
    let mut row = format!("{sku};");
    // Writing to a string cannot fail.
    let _ = match format {
        Format::Localised if quantity >= LARGE => write!(row, "{},{:03}", quantity / 1_000, quantity % 1_000),
        Format::Localised | Format::Plain => write!(row, "{quantity}"),
    };
    row.push(';');
    row.push_str(&bins.join(" "));
    row
}

#[inline(never)]
fn parse_row(row: &str) -> Result<StockRow, Refused> {
    let mut fields = row.split(';').skip(1);
    let quantity = fields.next().unwrap_or_default();
    let quantity = quantity.parse().map_err(|source| Refused::Unreadable { field: "quantity", source })?;
    let bins = fields.next().unwrap_or_default().split(' ').map(str::to_owned).collect();
    Ok(StockRow { quantity, bins })
}

/// Three in ten, spread evenly over the often and the rarely asked for.
const fn is_large(number: u32) -> bool {
    matches!(number % 10, 1 | 4 | 7)
}

fn place(sku: &str) -> Option<usize> {
    sku.strip_prefix("sku-")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable(table: &Table) -> Vec<u32> {
        (0..PRODUCTS).filter(|number| table.read(&sku(*number)).is_err()).collect()
    }

    #[test]
    fn a_localised_table_hides_the_large_quantities_and_only_those() {
        let mut table = Table::seeded(7);
        assert!(unreadable(&table).is_empty());
        let before = table.read("sku-00011").unwrap();
        assert!(before.quantity >= LARGE);
        table.reload(Format::Localised);
        let expected: Vec<u32> = (0..PRODUCTS).filter(|number| is_large(*number)).collect();
        assert_eq!(unreadable(&table), expected);
        let Err(Refused::Unreadable { field, source }) = table.read("sku-00011") else { panic!() };
        assert_eq!((field, source.to_string().as_str()), ("quantity", "invalid digit found in string"));
        table.reload(Format::Plain);
        assert_eq!(table.read("sku-00011").unwrap(), before);
    }

    #[test]
    fn quantities_stay_on_their_side_of_large_however_much_is_taken_and_put_back() {
        let mut table = Table::seeded(7);
        for _ in 0..3_000 {
            for name in ["sku-00001", "sku-00002"] {
                assert!(table.take(name, 3).unwrap().left > 0);
            }
        }
        for _ in 0..500 {
            table.put_back("sku-00002", 9).unwrap();
        }
        assert!(table.read("sku-00002").unwrap().quantity < LARGE);
        assert!(table.read("sku-00001").unwrap().quantity >= LARGE);
    }

    #[test]
    fn unknown_items_and_too_large_wishes_are_refused() {
        let mut table = Table::seeded(7);
        for name in ["sku-99999", "sku-", "00001", "sku--1"] {
            assert_eq!(table.read(name).unwrap_err(), Refused::Unknown, "{name}");
        }
        let left = table.read("sku-00001").unwrap().quantity;
        assert_eq!(table.take("sku-00001", left + 1), Err(Refused::TooFew { left }));
    }
}
