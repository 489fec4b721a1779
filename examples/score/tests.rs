use super::choice::Choice;
use super::series::{self, Unreadable};
use super::{plot, stream};

/// Two weeks of five minutes each: a day that rises and falls, some noise, and a night like noon from `fault` on.
fn csv(fault: Option<usize>) -> String {
    let mut noise = 1_u64;
    let mut text = "timestamp,value\n".to_owned();
    for point in 0..4_032_usize {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let turn = (point % 288) as f64 / 288.0 * std::f64::consts::TAU;
        let usual = 100.0 - 40.0 * turn.cos() + (noise >> 40) as f64 / (1 << 24) as f64 * 4.0;
        let is_fault = fault.is_some_and(|fault| (fault..fault + 12).contains(&point));
        let value = if is_fault { usual + 75.0 } else { usual };
        text += &format!("{},{value:.3}\n", 1_400_000_000 + 300 * point);
    }
    text
}

#[test]
fn times_are_read_in_every_form_and_mean_the_same() {
    let forms = ["2014-02-14 14:30:00", "2014-02-14T14:30:00Z", "2014-02-14T15:30:00+01:00", "1392388200"];
    for form in forms {
        let points = series::read(&format!("timestamp,value\n{form},7.5\n")).unwrap();
        let met: Vec<_> = points.iter().map(|point| (point.time.0, point.value)).collect();
        assert_eq!(met, [(1_392_388_200_000_000_000, 7.5)], "{form}");
    }
}

#[test]
fn what_is_no_series_is_told_with_its_line() {
    assert_eq!(series::read("time,cpu\n1,2\n"), Err(Unreadable::Header));
    assert_eq!(series::read(""), Err(Unreadable::Header));
    assert_eq!(series::read("timestamp,value\n1,2\nyesterday,3\n"), Err(Unreadable::Time(3)));
    assert_eq!(series::read("timestamp,value\n-5,2\n"), Err(Unreadable::Time(2)));
    assert_eq!(series::read("timestamp,value\n\n17\n"), Err(Unreadable::Value(3)));
    let gap = series::read("timestamp,value\n1,\n").unwrap();
    assert!(gap.iter().all(|point| point.value.is_nan()));
}

#[test]
fn a_fault_is_an_alert_and_nothing_is_none() {
    let points = series::read(&csv(Some(3_460))).unwrap();
    let scored = stream::score(&points, 1.0, Choice::Extremes).unwrap();
    assert_eq!(scored.scores.len(), points.len());
    let hit = scored.alerts.iter().find(|alert| (3_460..3_472).contains(&alert.first));
    assert!(hit.is_some_and(|alert| alert.last < 3_560), "{:?}", scored.alerts);
    // The twin without a fault.
    let clean = series::read(&csv(None)).unwrap();
    let scored = stream::score(&clean, 1.0, Choice::Extremes).unwrap();
    assert!(scored.alerts.len() <= 4, "two are allowed on average: {:?}", scored.alerts);
    assert!(scored.alerts.iter().all(|alert| !(3_460..3_472).contains(&alert.first)), "{:?}", scored.alerts);
}

#[test]
fn a_score_rests_on_nothing_that_comes_after_its_point() {
    let points = series::read(&csv(Some(3_460))).unwrap();
    let whole = stream::score(&points, 1.0, Choice::Extremes).unwrap();
    for end in [60, 1_000, 3_465] {
        let part = stream::score(&points[..end], 1.0, Choice::Extremes).unwrap();
        assert_eq!(part.scores, whole.scores[..end]);
    }
}

#[test]
fn text_and_picture_hold_what_was_found() {
    let points = series::read(&csv(Some(3_460))).unwrap();
    let scored = stream::score(&points, 1.0, Choice::Extremes).unwrap();
    assert_eq!(scored.scores_text().lines().count(), points.len());
    let alerts = scored.alerts_text();
    assert!(alerts.starts_with("start,end,score,threshold\n"));
    assert_eq!(alerts.lines().count(), scored.alerts.len() + 1);
    let picture = plot::svg("a<b.csv", &points, &scored);
    assert!(picture.contains("a&lt;b.csv") && !picture.contains("NaN") && !picture.contains("inf"));
    assert_eq!(picture.matches("<rect").count(), scored.alerts.len());
    // A series of one point, or of none, is drawn as well.
    for few in [&points[..1], &[]] {
        assert!(!plot::svg("few", few, &stream::score(few, 1.0, Choice::Extremes).unwrap()).contains("NaN"));
    }
}

#[test]
fn a_budget_that_cannot_be_is_refused() {
    let points = series::read(&csv(None)).unwrap();
    assert!(
        stream::score(&points, 0.0, Choice::Extremes).is_err()
            && stream::score(&points, f64::NAN, Choice::Extremes).is_err()
    );
}

#[test]
fn a_detector_is_chosen_with_one_flag_and_says_why() {
    let points = series::read(&csv(Some(3_460))).unwrap();
    let auto = stream::score(&points, 1.0, Choice::Auto).unwrap();
    assert!(auto.why.as_ref().is_some_and(|why| why.contains("season of")), "{:?}", auto.why);
    assert!(auto.alerts.iter().any(|alert| (3_460..3_472).contains(&alert.first)), "{:?}", auto.alerts);
    assert_eq!(stream::score(&points, 1.0, Choice::Extremes).unwrap().why, None);
    let other = stream::score(&points, 1.0, Choice::Poly).unwrap();
    assert!(other.scores.len() == points.len() && other.scores != auto.scores);
}
