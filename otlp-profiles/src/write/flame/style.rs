//! Colours, and what they mean.

use std::fmt::Write;

/// Scoped by the class of the root element; light first, dark by the reader's preference.
pub(super) const SHEET: &str = "\
.otlp-fg{color-scheme:light dark;font:11px ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace}\
.otlp-fg text{fill:#1b1f24;pointer-events:none}\
.otlp-fg .otlp-fg-title{font-size:13px;font-weight:600}\
.otlp-fg .otlp-fg-note{fill:#59636e}\
.otlp-fg-paper{fill:#fff}\
.otlp-fg g>rect{width:calc(100% - .5px);rx:1px}\
.otlp-fg g:hover>rect{stroke:#1b1f24;stroke-width:1px}\
.otlp-fg-root,.otlp-fg-d0{fill:#e3e6ea}\
.otlp-fg-c0{fill:#f7c9a3}.otlp-fg-c1{fill:#f9d68f}.otlp-fg-c2{fill:#f4b8a0}.otlp-fg-c3{fill:#f3dfa4}\
.otlp-fg-c4{fill:#f6c38a}.otlp-fg-c5{fill:#eecdb4}.otlp-fg-c6{fill:#f5ae8c}.otlp-fg-c7{fill:#f8e08e}\
.otlp-fg-p1{fill:#fbe3cc}.otlp-fg-p2{fill:#fac796}.otlp-fg-p3{fill:#f5a050}.otlp-fg-p4{fill:#e8791a}\
.otlp-fg-m1{fill:#dce8f7}.otlp-fg-m2{fill:#b4d0f0}.otlp-fg-m3{fill:#81afe6}.otlp-fg-m4{fill:#4f8edb}\
@media (prefers-color-scheme:dark){\
.otlp-fg text{fill:#f0f3f6}.otlp-fg .otlp-fg-note{fill:#9aa4af}.otlp-fg-paper{fill:#12161b}\
.otlp-fg g:hover>rect{stroke:#f0f3f6}\
.otlp-fg-root,.otlp-fg-d0{fill:#363d46}\
.otlp-fg-c0{fill:#7a4a22}.otlp-fg-c1{fill:#77560f}.otlp-fg-c2{fill:#7d3f2a}.otlp-fg-c3{fill:#665523}\
.otlp-fg-c4{fill:#7a4c12}.otlp-fg-c5{fill:#6b4a35}.otlp-fg-c6{fill:#84411f}.otlp-fg-c7{fill:#6b5c12}\
.otlp-fg-p1{fill:#4a3a2b}.otlp-fg-p2{fill:#69441f}.otlp-fg-p3{fill:#8f5112}.otlp-fg-p4{fill:#b75c04}\
.otlp-fg-m1{fill:#2c3a4c}.otlp-fg-m2{fill:#264669}.otlp-fg-m3{fill:#1f5690}.otlp-fg-m4{fill:#1767b8}}";

const PACKAGES: u64 = 8;

/// The class of a box in a plain flame graph: one colour a package, always the same.
pub(super) fn package_class(name: &str, is_root: bool) -> String {
    if is_root {
        return "root".to_owned();
    }
    let package = name.trim_start_matches(['<', '&', '*', '[', ' ']);
    let end = package.find("::").or_else(|| package.find(['.', '(', '+'])).unwrap_or(package.len());
    let package = package.get(..end).unwrap_or(package);
    // FNV-1a: stable between runs, machines and versions of the compiler.
    let hash = package.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV-1a see only the low bits of the text.
    format!("c{}", (hash >> 32 ^ hash) % PACKAGES)
}

/// Share points from which a colour deepens.
const STEPS: [f64; 4] = [0.005, 0.02, 0.08, 0.2];

/// The class of a box in a differential flame graph; grey where the change may be noise.
pub(super) fn change_class([before, after]: [f64; 2], z: f64) -> String {
    let change = after - before;
    let step = STEPS.iter().filter(|&&step| change.abs() >= step).count();
    if step == 0 || z.abs() < 2.0 {
        return "d0".to_owned();
    }
    format!("{}{step}", if change > 0.0 { 'p' } else { 'm' })
}

/// Where the text right of the legend begins.
pub(super) const LEGEND_PX: u32 = 252;

const SWATCHES: [&str; 9] = ["m4", "m3", "m2", "m1", "d0", "p1", "p2", "p3", "p4"];

/// Nine swatches between "less" and "more".
pub(super) fn legend(out: &mut String) {
    out.push_str("<text class=\"otlp-fg-note\" x=\"6\" y=\"34\">less</text>");
    for (at, class) in SWATCHES.iter().enumerate() {
        let x = 38 + at * 19;
        let _ok =
            write!(out, "<rect class=\"otlp-fg-{class}\" x=\"{x}\" y=\"24\" width=\"18\" height=\"12\"/>");
    }
    out.push_str("<text class=\"otlp-fg-note\" x=\"213\" y=\"34\">more</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_one_colour_whatever_the_function() {
        let class = |name| package_class(name, false);
        assert_eq!(class("core::str::from_utf8"), class("core::slice::sort"));
        assert_eq!(class("<core::iter::Map<I, F> as Iterator>::next"), class("core::fmt::write"));
        assert_eq!(class("runtime.mallocgc"), class("runtime.gcStart"));
        assert_ne!(class("alloc::vec"), class("core::fmt"));
        // Frozen: a change of the hash would recolour every picture.
        assert_eq!(class("core::fmt::write"), "c7");
    }

    #[test]
    fn colour_deepens_with_the_change_and_noise_stays_grey() {
        assert_eq!(change_class([0.1, 0.104], 9.0), "d0");
        assert_eq!(change_class([0.1, 0.4], 1.5), "d0");
        assert_eq!(change_class([0.1, 0.11], 5.0), "p1");
        assert_eq!(change_class([0.5, 0.1], -5.0), "m4");
    }
}
