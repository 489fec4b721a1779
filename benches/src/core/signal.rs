//! The figures that logs, metrics and profiles have in common: a full walk, and encoding from records.

use otlp_core::encode::Encode;
use otlp_core::wire::Writer;
use otlp_core::{DecodeError, Limits};
use prost::Message;

use super::payload::Kind;
use super::payload::order::{Root, descending};
use super::{LIMITS, PROST, Rows};
use crate::heap::allocations;
use crate::measure::{Effort, Figure, Row, Work, compare, timed};

/// How a signal is made, read and visited, by us and by prost.
pub(super) struct Signal<Request, Records> {
    pub(super) name: &'static str,
    /// What one of the counted things is called.
    pub(super) unit: &'static str,
    /// How many of them a request has.
    pub(super) count: u64,
    pub(super) root: Root,
    pub(super) make: fn(Kind) -> Request,
    pub(super) view: fn(&[u8], &Limits) -> Result<u64, DecodeError>,
    pub(super) prost: fn(&Request) -> u64,
    pub(super) records: fn(&[u8]) -> Result<Records, DecodeError>,
}

/// One payload in all the forms the figures need.
struct Case<'a, Request, Records> {
    signal: &'a Signal<Request, Records>,
    name: &'static str,
    prost: Request,
    records: Records,
    ascending: Vec<u8>,
    descending: Vec<u8>,
}

impl<Request, Records> Signal<Request, Records>
where
    Request: Message + Default + PartialEq,
    Records: Encode,
{
    /// Measures both payloads.
    pub(super) fn rows(&self, effort: &Effort) -> Rows {
        let kinds = [("realistic", Kind::Realistic), ("non-ASCII", Kind::NonAscii)];
        kinds.into_iter().flat_map(|(name, kind)| self.rows_of(name, kind, effort)).collect()
    }

    fn rows_of(&self, name: &'static str, kind: Kind, effort: &Effort) -> Rows {
        let case = match self.case(name, kind) {
            Ok(case) => case,
            Err(error) => return vec![Err(error)],
        };
        let figures = case.figures().into_iter().filter(|figure| figure.name.contains(&effort.only));
        let mut rows: Rows = figures.map(|mut figure| Ok(compare(&mut figure, effort)?)).collect();
        let counts = case.counts().into_iter().filter(|row| row.figure.contains(&effort.only));
        rows.extend(counts.map(Ok));
        rows
    }

    /// Both sides write the same and read the same, before anything is measured.
    fn case(
        &self,
        name: &'static str,
        kind: Kind,
    ) -> Result<Case<'_, Request, Records>, Box<dyn std::error::Error>> {
        let prost = (self.make)(kind);
        let ascending = prost.encode_to_vec();
        let descending = descending(self.root, &ascending);
        let records = (self.records)(&ascending)?;
        if records.encode_to_bytes() != ascending {
            return Err(format!("{}, {name}: encoded bytes differ", self.name).into());
        }
        if descending == ascending || Request::decode(descending.as_slice())? != prost {
            return Err(format!("{}, {name}: the payload in descending order is another", self.name).into());
        }
        Ok(Case { signal: self, name, prost, records, ascending, descending })
    }
}

impl<Request, Records> Case<'_, Request, Records>
where
    Request: Message + Default,
    Records: Encode,
{
    fn figures(&self) -> Vec<Figure<'_>> {
        let mut figures = vec![self.encoding()];
        for (order, body) in [("ascending", &self.ascending), ("descending", &self.descending)] {
            let ours = || timed(|| (self.signal.view)(body, &LIMITS).unwrap_or(0));
            let theirs =
                || timed(|| Request::decode(body.as_slice()).map_or(1, |read| (self.signal.prost)(&read)));
            let what = format!("full walk, UTF-8 checked, {order}");
            figures.push(self.figure(&what, 7.0, Box::new(ours), Box::new(theirs)));
        }
        figures
    }

    fn encoding(&self) -> Figure<'_> {
        let mut writer = Writer::new();
        let ours = move || {
            timed(|| {
                writer.clear();
                self.records.encode(&mut writer);
                writer.len() as u64
            })
        };
        let mut buffer = Vec::new();
        let theirs = move || {
            timed(|| {
                buffer.clear();
                self.prost.encode(&mut buffer).map_or(0, |()| buffer.len() as u64)
            })
        };
        self.figure("encode from records", 2.5, Box::new(ours), Box::new(theirs))
    }

    fn figure<'a>(&self, what: &str, bar: f64, ours: Work<'a>, theirs: Work<'a>) -> Figure<'a> {
        let Signal { name, unit, count, .. } = self.signal;
        Figure {
            name: format!("{name}, {}: {what}, a {unit}", self.name),
            records: u32::try_from(*count).unwrap_or(u32::MAX),
            ours,
            peer: (PROST, theirs),
            bar,
        }
    }

    /// Heap allocations of one request; ours must be none.
    fn counts(&self) -> Vec<Row> {
        let mut writer = Writer::new();
        self.records.encode(&mut writer);
        let encode = allocations(|| {
            writer.clear();
            self.records.encode(&mut writer);
        });
        let walk = allocations(|| assert!((self.signal.view)(&self.descending, &LIMITS).is_ok()));
        let decode = allocations(|| drop(Request::decode(self.ascending.as_slice())));
        let row = |what: &str, ours: u64, peer| {
            let figure = format!("{}, {}: allocations of {what}, a request", self.signal.name, self.name);
            Row::count(&figure, ours as f64, 0.0, peer)
        };
        vec![row("encode from records", encode, None), row("full walk", walk, Some((PROST, decode as f64)))]
    }
}
