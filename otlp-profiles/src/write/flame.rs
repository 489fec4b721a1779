//! Flame graphs and differential flame graphs as SVG.

mod layout;
mod style;
mod text;

use std::fmt::Write;

use self::layout::{Layout, Placed};
use self::text::Escaped;
pub(crate) use self::text::short_name;
use super::amount::{Amount, grouped};
use crate::Result;
use crate::diff::{Scale, check_types};
use crate::profile::Profile;
use crate::tree::{CallTree, Negative, Node};

/// A picture of where the weight of a profile lies, or of how two profiles differ.
///
/// A box is a function called through the boxes below it. Its width is its share of the total; in a
/// differential one, the mean of the shares before and after, so that what went and what came are
/// both to be seen: orange grew, blue shrank, grey did not move beyond sampling noise (two standard
/// errors) or half a point. Colours tell packages apart and are the same in every picture.
///
/// The SVG stands alone or inline in a page: no script, no outside resource, every class begins with
/// `otlp-fg`, light and dark follow `prefers-color-scheme`, and it is as wide as what it stands in.
/// Tooltips are `<title>` elements. To put it on a page of another colour, set
/// `svg.otlp-fg .otlp-fg-paper { fill: none }`.
///
/// ```
/// use otlp_profiles::{FlameGraph, Limits, Profile, ValueType};
/// let folded = b"main;serve;parse 30\nmain;serve;hash 60\nmain 10";
/// let profile = Profile::parse_folded(folded, ValueType::samples(), &Limits::default())?;
/// let picture = FlameGraph::new(&profile).title("payment, CPU").to_svg();
/// assert!(picture.svg.starts_with("<svg "));
/// assert_eq!((picture.boxes, picture.elided), (5, 0));
/// # Ok::<(), otlp_profiles::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct FlameGraph<'a> {
    before: &'a Profile,
    after: Option<&'a Profile>,
    title: String,
    width_px: u32,
    min_width_px: f64,
}

/// A picture that was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlameSvg {
    /// The SVG element, without an XML declaration.
    pub svg: String,
    /// Boxes drawn, the root among them.
    pub boxes: usize,
    /// Boxes not drawn because they would be too narrow, or beyond the 20,000th.
    pub elided: usize,
}

impl<'a> FlameGraph<'a> {
    /// A flame graph of the default value type.
    pub fn new(profile: &'a Profile) -> Self {
        let title = "flame graph".to_owned();
        Self { before: profile, after: None, title, width_px: 1200, min_width_px: 0.5 }
    }

    /// A differential flame graph of the default value types.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where the default value types differ.
    ///
    /// ```
    /// use otlp_profiles::{FlameGraph, Limits, Profile, ValueType};
    /// let parse = |text: &str| {
    ///     Profile::parse_folded(text.as_bytes(), ValueType::samples(), &Limits::default())
    /// };
    /// let (before, after) = (parse("main;a 90\nmain;b 10")?, parse("main;a 30\nmain;b 70")?);
    /// let picture = FlameGraph::differential(&before, &after)?.to_svg();
    /// assert!(picture.svg.contains("10.0 % before, 70.0 % after"));
    /// # Ok::<(), otlp_profiles::Error>(())
    /// ```
    pub fn differential(before: &'a Profile, after: &'a Profile) -> Result<Self> {
        check_types(before, after)?;
        let title = "differential flame graph".to_owned();
        Ok(Self { after: Some(after), title, ..Self::new(before) })
    }

    /// Sets what stands above the picture.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Sets the width in pixels for which names are cut and narrow boxes left out; default 1,200.
    /// The picture still takes the width of what it stands in.
    pub fn width_px(mut self, width: u32) -> Self {
        self.width_px = width.max(1);
        self
    }

    /// Sets the width in pixels, at [`width_px`](Self::width_px), below which a box is left out;
    /// default 0.5.
    pub fn min_width_px(mut self, width: f64) -> Self {
        self.min_width_px = if width.is_finite() { width.max(0.0) } else { 0.0 };
        self
    }

    /// Draws it. Costs O(nodes of all stacks + samples).
    #[must_use]
    pub fn to_svg(&self) -> FlameSvg {
        let after = self.after.unwrap_or(self.before);
        let tree = CallTree::of(self.before, self.after, Negative::LeaveOut);
        let scale = Scale::of(&tree, self.before, after);
        let drawing = Drawing { graph: self, tree: &tree, scale };
        let min_fraction = self.min_width_px / f64::from(self.width_px);
        let layout = Layout::of(&tree, |node| drawing.width(node), min_fraction);
        let svg = drawing.draw(&layout);
        FlameSvg { svg, boxes: layout.placed.len(), elided: layout.elided }
    }
}

const ROW_PX: u32 = 18;
const HEAD_PX: u32 = 46;
const FOOT_PX: u32 = 6;
/// Advance of one letter of the 11 px monospaced type.
const LETTER_PX: f64 = 6.62;

struct Drawing<'a> {
    graph: &'a FlameGraph<'a>,
    tree: &'a CallTree<'a>,
    scale: Scale,
}

impl Drawing<'_> {
    /// The box's width as a part of the whole, 0 to 1.
    fn width(&self, node: Node) -> f64 {
        let [before, after] = self.scale.shares(node.total);
        if self.graph.after.is_some() { self.mean([before, after]) } else { before }
    }

    /// Where one of the two profiles is empty, the other alone gives the widths.
    fn mean(&self, [before, after]: [f64; 2]) -> f64 {
        let sides = self.tree.root().total.iter().filter(|&&total| total > 0).count();
        if sides == 0 { 0.0 } else { (before + after) / sides as f64 }
    }

    fn draw(&self, layout: &Layout) -> String {
        let rows = layout.placed.iter().map(|placed| placed.depth).max().unwrap_or_default() + 1;
        let height = HEAD_PX + rows * ROW_PX + FOOT_PX;
        let mut out = String::with_capacity(layout.placed.len() * 240 + style::SHEET.len() + 1024);
        // Writing to a string does not fail; the same holds below.
        let _ok = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"otlp-fg\" role=\"img\" aria-label=\"{}\" \
             width=\"100%\" height=\"{height}\"><style>{}</style>\
             <rect class=\"otlp-fg-paper\" width=\"100%\" height=\"100%\"/>",
            Escaped(&self.graph.title),
            style::SHEET,
        );
        self.head(layout, &mut out);
        for placed in &layout.placed {
            let y = height - FOOT_PX - (placed.depth + 1) * ROW_PX;
            self.draw_box(placed, y, &mut out);
        }
        out.push_str("</svg>\n");
        out
    }

    fn head(&self, layout: &Layout, out: &mut String) {
        let _ok = write!(
            out,
            "<text class=\"otlp-fg-title\" x=\"6\" y=\"16\">{}</text>",
            Escaped(&self.graph.title)
        );
        if self.graph.after.is_some() {
            style::legend(out);
        }
        let mut line = self.totals();
        if layout.elided > 0 {
            let share = self.graph.min_width_px / f64::from(self.graph.width_px) * 100.0;
            let count = grouped(i64::try_from(layout.elided).unwrap_or(i64::MAX));
            let _ok = write!(line, "; {count} boxes under {share:.2} % not drawn");
        }
        let x = if self.graph.after.is_some() { style::LEGEND_PX } else { 6 };
        let _ok = write!(out, "<text class=\"otlp-fg-note\" x=\"{x}\" y=\"34\">{}</text>", Escaped(&line));
    }

    fn totals(&self) -> String {
        let value_type = self.graph.before.default_value();
        let [before, after] = self.tree.root().total.map(|total| Amount::new(total, &value_type.unit));
        match self.graph.after {
            None => format!("{before} of {}", value_type.kind),
            Some(_) => format!("{}: {before} before, {after} after", value_type.kind),
        }
    }

    fn draw_box(&self, placed: &Placed, y: u32, out: &mut String) {
        let node = self.tree.node(placed.node);
        let name = if placed.node == 0 { "all" } else { self.tree.name(node) };
        let (class, tip) = match self.graph.after {
            None => (style::package_class(name, placed.node == 0), self.tip(node)),
            Some(_) => {
                let shares = self.scale.shares(node.total);
                (style::change_class(shares, self.scale.z(shares)), self.difference_tip(node))
            }
        };
        let _ok = write!(
            out,
            "<svg x=\"{:.3}%\" y=\"{y}\" width=\"{:.3}%\" height=\"{}\"><g><title>{}\n{tip}</title>\
             <rect class=\"otlp-fg-{class}\" width=\"100%\" height=\"100%\"/>",
            placed.x * 100.0,
            placed.width * 100.0,
            ROW_PX - 1,
            Escaped(name),
        );
        let letters = ((placed.width * f64::from(self.graph.width_px) - 6.0) / LETTER_PX).floor();
        if letters >= 3.0 {
            // At most a few thousand: the width in pixels over that of a letter.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "3 to width_px")]
            let label = short_name(name, letters as usize);
            let _ok = write!(out, "<text x=\"3\" y=\"12.5\">{}</text>", Escaped(&label));
        }
        out.push_str("</g></svg>");
    }

    fn tip(&self, node: Node) -> String {
        let amount = |value| Amount::new(value, &self.graph.before.default_value().unit);
        let (total, own) = (node.total[0], node.own[0]);
        let [share, _] = self.scale.shares(node.total);
        let [own_share, _] = self.scale.shares(node.own);
        let (share, own_share) = (share * 100.0, own_share * 100.0);
        format!("{} ({share:.1} %), itself {} ({own_share:.1} %)", amount(total), amount(own))
    }

    fn difference_tip(&self, node: Node) -> String {
        let [before, after] = self.scale.shares(node.total).map(|share| share * 100.0);
        let [own_before, own_after] = self.scale.shares(node.own).map(|share| share * 100.0);
        format!(
            "{before:.1} % before, {after:.1} % after ({:+.1} points); itself {own_before:.1} % before, \
             {own_after:.1} % after",
            after - before,
        )
    }
}

#[cfg(test)]
mod tests;
