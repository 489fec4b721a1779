use super::*;
use crate::{Limits, ValueType};

fn parse(folded: &str) -> Profile {
    Profile::parse_folded(folded.as_bytes(), ValueType::samples(), &Limits::default()).unwrap()
}

/// The (x, width) in percent of the box whose tooltip begins with `name`.
fn extent(svg: &str, name: &str) -> (f64, f64) {
    let at = svg.find(&format!("<title>{name}\n")).unwrap();
    let start = svg[..at].rfind("<svg ").unwrap();
    let number = |key: &str| {
        let from = svg[start..].find(key).unwrap() + start + key.len();
        let to = svg[from..].find('%').unwrap() + from;
        svg[from..to].parse().unwrap()
    };
    (number("x=\""), number("width=\""))
}

/// Every tag is closed in order and every attribute quoted: enough of a parser to catch bad escaping.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "a bare > in text");
        let end = rest[start..].find('>').unwrap() + start;
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            let name = tag.split(' ').next().unwrap();
            open.push(name);
            if name == "style" {
                let close = rest.find("</style>").unwrap();
                rest = &rest[close..];
                continue;
            }
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn widths_are_shares_and_children_lie_within_their_caller() {
    let profile = parse("main;serve;b 30\nmain;serve;a 60\nmain 10");
    let picture = FlameGraph::new(&profile).to_svg();
    assert_well_formed(&picture.svg);
    assert_eq!(extent(&picture.svg, "all"), (0.0, 100.0));
    assert_eq!(extent(&picture.svg, "serve"), (0.0, 90.0));
    assert_eq!(extent(&picture.svg, "a"), (0.0, 60.0));
    assert_eq!(extent(&picture.svg, "b"), (60.0, 30.0));
    assert!(picture.svg.contains("60 (60.0 %), itself 60 (60.0 %)"));
}

#[test]
fn names_full_of_markup_are_escaped() {
    let mut profile = Profile::try_new([ValueType::samples()], &Limits::default()).unwrap();
    let name = "<script>alert(\"x\")</script>&\u{0}";
    profile.add_stack([name], &[1]).unwrap();
    let picture = FlameGraph::new(&profile).title("</text><b>").to_svg();
    assert_well_formed(&picture.svg);
    assert!(!picture.svg.contains("<script"));
    assert!(!picture.svg.contains('\0'));
}

#[test]
#[should_panic(expected = "assertion")]
fn the_check_for_well_formed_documents_catches_a_planted_bare_bracket() {
    let picture = FlameGraph::new(&parse("main 1")).to_svg();
    assert_well_formed(&picture.svg.replace(">main<", ">ma<in<"));
}

#[test]
fn narrow_boxes_are_left_out_and_counted() {
    let profile = parse("main;big 9990\nmain;tiny;inner 10");
    let picture = FlameGraph::new(&profile).min_width_px(2.0).to_svg();
    assert_eq!((picture.boxes, picture.elided), (3, 2));
    assert!(picture.svg.contains("2 boxes under 0.17 % not drawn"));
    let all = FlameGraph::new(&profile).min_width_px(0.0).to_svg();
    assert_eq!((all.boxes, all.elided), (5, 0));
}

#[test]
fn a_differential_shows_what_came_and_what_went() {
    let before = parse("main;old 500\nmain;same 500");
    let after = parse("main;new 200\nmain;same 200");
    let picture = FlameGraph::differential(&before, &after).unwrap().to_svg();
    assert_well_formed(&picture.svg);
    assert_eq!(extent(&picture.svg, "old"), (25.0, 25.0));
    assert_eq!(extent(&picture.svg, "new"), (0.0, 25.0));
    assert_eq!(extent(&picture.svg, "same"), (50.0, 50.0));
    let class_of = |name: &str| {
        let at = picture.svg.find(&format!("<title>{name}\n")).unwrap();
        let from = picture.svg[at..].find("otlp-fg-").unwrap() + at + 8;
        &picture.svg[from..from + 2]
    };
    assert_eq!((class_of("old"), class_of("new"), class_of("same")), ("m4", "p4", "d0"));
    assert!(picture.svg.contains(">less<") && picture.svg.contains(">more<"));
}

#[test]
fn an_empty_profile_against_a_full_one_still_draws() {
    let (empty, full) = (parse(""), parse("main 5"));
    let picture = FlameGraph::differential(&empty, &full).unwrap().to_svg();
    assert_eq!(extent(&picture.svg, "main"), (0.0, 100.0));
    assert_eq!(FlameGraph::new(&empty).to_svg().boxes, 1);
    assert_eq!(FlameGraph::differential(&empty, &empty).unwrap().to_svg().boxes, 1);
}

#[test]
fn negative_values_are_left_out_of_the_picture() {
    let picture = FlameGraph::new(&parse("main;a 10\nmain;b -5")).to_svg();
    assert_eq!(extent(&picture.svg, "main"), (0.0, 100.0));
    assert_eq!((picture.boxes, picture.elided), (3, 1));
}

#[test]
fn nothing_outside_is_referred_to() {
    let svg = FlameGraph::new(&parse("main 1")).to_svg().svg.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http", "url(", "href", "@import", "<script", "src="] {
        assert!(!svg.contains(outside), "{outside}");
    }
}
