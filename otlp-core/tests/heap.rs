//! What decoding takes from the heap, by a counting allocator.

mod measure;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp_core::batch::{Router, Splitter, merge};
use otlp_core::encode::Encode;
use otlp_core::process::{Edits, Filter, Places, Sampler};
use otlp_core::protocol::Signal;
use otlp_core::record::{
    AnyValue, Event, Function, KeyValue, Line, Link, Location, Profile, ProfilesDictionary, ProfilesRequest,
    Resource, ResourceProfiles, ResourceSpans, Sample, ScopeProfiles, ScopeSpans, Span, Stack, TracesRequest,
};
use otlp_core::view::{ProfilesView, TracesView};
use otlp_core::wire::Writer;
use otlp_core::{DecodeError, Limits};
use prost::Message;

use measure::{measured, visit};

fn request(spans: usize) -> TracesRequest {
    let list = AnyValue::Array(vec![AnyValue::from("x"), AnyValue::KvList(vec![KeyValue::new("k", 1.5)])]);
    let attributes = vec![KeyValue::new("http.route", "/cart/{id}"), KeyValue::new("list", list)];
    let event = Event { name: "retry".into(), attributes: attributes.clone(), ..Event::default() };
    let link = Link { trace_state: "a=b".into(), ..Link::default() };
    let span = Span {
        name: "GET /cart".into(),
        attributes,
        events: vec![event; 2],
        links: vec![link],
        ..Span::default()
    };
    let scopes = vec![ScopeSpans { spans: vec![span; spans], ..ScopeSpans::default() }];
    let group = ResourceSpans { resource: Resource::service("cart"), scopes, ..ResourceSpans::default() };
    TracesRequest { resources: vec![group] }
}

/// 4 MiB of empty spans.
fn empty_spans() -> Vec<u8> {
    let spans = [0x12, 0].repeat(2 << 20);
    let mut writer = Writer::new();
    writer.message(1, |group| group.message(2, |scope| scope.raw(&spans)));
    writer.as_slice().to_vec()
}

#[test]
fn a_full_walk_allocates_nothing() {
    let body = request(50).encode_to_bytes();
    let (seen, peak, calls) = measured(|| visit::traces(&body, &Limits::DEFAULT).unwrap());
    assert!(seen > 50 * 20);
    assert_eq!((peak, calls), (0, 0));
    // The planted fault: the counter sees one small string.
    let (_, peak, calls) = measured(|| "one".to_owned());
    assert_eq!((peak, calls), (3, 1));
}

/// Two hundred samples of one stack of two frames.
fn profiles() -> ProfilesRequest {
    let mut dictionary = ProfilesDictionary::new();
    dictionary.strings.push("main".into());
    dictionary.functions.push(Function { name_index: 1, ..Function::default() });
    let line = Line { function_index: 1, ..Line::default() };
    dictionary.locations.push(Location { lines: vec![line; 2], ..Location::default() });
    dictionary.stacks.push(Stack { location_indices: vec![1] });
    let sample = Sample { stack_index: 1, values: vec![1, 2, 3], ..Sample::default() };
    let profile = Profile { samples: vec![sample; 200], ..Profile::default() };
    let scopes = vec![ScopeProfiles { profiles: vec![profile], ..ScopeProfiles::default() }];
    let resources = vec![ResourceProfiles { scopes, ..ResourceProfiles::default() }];
    ProfilesRequest { resources, dictionary }
}

/// Resolves the stack of every sample; gives how many frames there were.
fn resolve(body: &[u8], limits: &Limits) -> Result<usize, DecodeError> {
    let view = ProfilesView::parse(body, limits)?;
    let index = view.dictionary().index()?;
    let mut frames = 0;
    for group in view.resources() {
        for scope in group?.scopes() {
            for profile in scope?.profiles() {
                for sample in profile?.samples() {
                    for frame in index.frames(sample?.stack_index())? {
                        frames += usize::from(frame?.name() == "main");
                    }
                }
            }
        }
    }
    Ok(frames)
}

#[test]
fn resolving_profiles_allocates_once_and_checking_them_never() {
    let body = profiles().encode_to_bytes();
    let limits = Limits::default();
    let (frames, peak, calls) = measured(|| resolve(&body, &limits).unwrap());
    // Eleven elements in the seven tables, four bytes each.
    assert_eq!((frames, peak, calls), (400, 44, 1));
    let (checked, _, calls) = measured(|| ProfilesView::parse(&body, &limits).unwrap().check());
    assert_eq!((checked, calls), (Ok(()), 0));
}

#[test]
fn records_of_profiles_take_exactly_what_the_budget_counts() {
    let body = profiles().encode_to_bytes();
    let read = |bound| ProfilesView::parse(&body, &Limits::default().max_heap_bytes(bound))?.to_record();
    let (record, peak, _) =
        measured(|| ProfilesView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap());
    assert_eq!(record, profiles());
    assert!(read(peak).is_ok_and(|met| met == record));
    assert!(read(peak - 1).is_err_and(|error| error.is_limit()));
}

#[test]
fn encoding_into_kept_room_allocates_nothing() {
    let request = request(50);
    let mut writer = Writer::new();
    request.encode(&mut writer);
    writer.clear();
    let ((), peak, calls) = measured(|| request.encode(&mut writer));
    assert!(!writer.is_empty());
    assert_eq!((peak, calls), (0, 0));
}

#[test]
fn work_in_place_into_kept_room_allocates_nothing() {
    let body = request(50).encode_to_bytes();
    let mut editor = Edits::new()
        .at(Places::ALL)
        .redact("http.route")
        .insert("env", "prod")
        .rename(["list", "k"], "l")
        .build()
        .unwrap();
    let (mut filter, mut sampler) = (Filter::new(Limits::DEFAULT), Sampler::ratio(0.5).unwrap());
    let mut splitter = Splitter::new(Limits::DEFAULT).max_records(7);
    let mut router = Router::by("service.name", Limits::DEFAULT);
    let (mut out, mut keep, mut handed_out) = (Writer::new(), false, 0);
    let mut work = || {
        out.clear();
        assert!(editor.edit(Signal::Traces, &body, &mut out).unwrap().attributes > 50);
        let mut every_other = || {
            keep = !keep;
            keep
        };
        filter.spans(&body, &mut out, |_, _, _| every_other()).unwrap();
        sampler.spans(&body, &mut out).unwrap();
        merge(Signal::Traces, &[&body, &body], &Limits::DEFAULT, &mut out).unwrap();
        splitter.split(Signal::Traces, &body, |part| handed_out += part.records).unwrap();
        router.route(Signal::Traces, &body, |_, request| handed_out += request.len()).unwrap();
    };
    work();
    let ((), peak, calls) = measured(work);
    assert_eq!((peak, calls), (0, 0));
    assert_eq!(handed_out, 2 * (50 + body.len()));
}

#[test]
fn refusing_hostile_input_allocates_nothing() {
    let mut body = request(1).encode_to_bytes().to_vec();
    body.truncate(body.len() - 1);
    let (error, _, calls) = measured(|| visit::traces(&body, &Limits::DEFAULT).unwrap_err());
    assert!(!error.is_limit());
    assert_eq!(calls, 0);
}

#[test]
fn records_take_exactly_what_the_budget_counts() {
    let body = request(20).encode_to_bytes();
    let (record, peak, _) =
        measured(|| TracesView::parse(&body, &Limits::DEFAULT).unwrap().to_record().unwrap());
    assert_eq!(record, request(20));
    // A bound of just that much is enough, and one byte less is not.
    let read = |bound| TracesView::parse(&body, &Limits::default().max_heap_bytes(bound))?.to_record();
    assert!(read(peak).is_ok_and(|met| met == record));
    assert!(read(peak - 1).is_err_and(|error| error.is_limit()));
}

#[test]
fn no_bound_is_ever_passed() {
    let body = request(30).encode_to_bytes();
    let (mut accepted, mut refused) = (0, 0);
    for bound in (0..40_000).step_by(611) {
        let limits = Limits::default().max_heap_bytes(bound);
        let view = TracesView::parse(&body, &limits).unwrap();
        let (result, peak, _) = measured(|| view.to_record().map(drop));
        *(if result.is_ok() { &mut accepted } else { &mut refused }) += 1;
        assert!(peak <= bound, "{peak} bytes taken within a bound of {bound}");
        let (_, peak, _) = measured(|| view.to_record_rejecting(|_| ()).map(drop));
        assert!(peak <= bound, "{peak} bytes taken within a bound of {bound}, rejecting");
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

#[test]
fn four_mebibytes_of_empty_spans_are_refused_within_the_bound() {
    let body = empty_spans();
    let many = Limits::default().max_elements(4 << 20);
    let view = TracesView::parse(&body, &many).unwrap();
    let (result, peak, _) = measured(|| view.to_record().map(drop));
    assert!(result.unwrap_err().is_limit());
    assert!(peak <= many.heap_bytes());
    // By default it is the count of elements that is refused, before anything is taken.
    let view = TracesView::parse(&body, &Limits::DEFAULT).unwrap();
    let (result, peak, _) = measured(|| view.to_record().map(drop));
    assert!(result.unwrap_err().is_limit());
    assert!(peak < 10_000);
    // The planted fault: decoding without a budget takes ten times the bound.
    let (_, peak, _) = measured(|| ExportTraceServiceRequest::decode(body.as_slice()).map(drop));
    assert!(peak > 10 * many.heap_bytes());
}
