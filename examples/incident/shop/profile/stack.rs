//! From the frames of a sample to one folded line that reads well.
//!
//! Trimmed are, at the leaf, the signal handler and what it calls; at the root, everything that leads from the
//! start of the thread to the function that serves a connection or a call. A sample of a thread that serves none
//! (accepting, control, sampling) is kept under `background`. Where our code calls into a library, only the function called is
//! kept, not what it calls in turn. Names lose their path up to `shop::` and their generic arguments.

/// What the handler of `pprof` is called; the frame after it belongs to the kernel's way into it.
const SIGNAL_HANDLER: &str = "perf_signal_handler";
/// Where a thread leaves the standard library's way of starting it.
const THREAD_START: &str = "__rust_begin_short_backtrace";
/// Where a service begins to work on a connection, or on one of the calls that share it.
const SERVE: [&str; 2] = ["serve_connection", "serve_call"];

/// `service;outermost;...;innermost` from frames with the innermost first, each with its inlined functions first.
pub(crate) fn fold(service: &str, leaf_first: &[Vec<String>]) -> String {
    let handler = leaf_first.iter().position(|frame| frame.iter().any(|name| name.contains(SIGNAL_HANDLER)));
    let skipped = handler.map_or(0, |handler| handler + 2);
    let frames = leaf_first.get(skipped..).unwrap_or_default();
    let names: Vec<&str> =
        frames.iter().rev().flat_map(|frame| frame.iter().rev().map(String::as_str)).collect();
    let serve = names.iter().position(|name| SERVE.iter().any(|serve| name.contains(serve)));
    let start = names.iter().rposition(|name| name.contains(THREAD_START));
    let mut stack = service.to_owned();
    let kept = match (serve, start) {
        (Some(serve), _) => names.get(serve..),
        (None, start) => {
            stack.push_str(";background");
            names.get(start.map_or(0, |start| start + 1)..)
        }
    };
    let mut in_library = false;
    for name in kept.unwrap_or_default() {
        let (name, ours) = tidy(name);
        if ours || !in_library {
            stack.push(';');
            stack.push_str(&name);
        }
        in_library = !ours;
    }
    stack
}

/// `payment::Payment::handle` from `<incident::shop::payment::Payment as incident::shop::http::Handler>::handle`,
/// and whether the function is one of the shop's.
fn tidy(name: &str) -> (String, bool) {
    let (qualified, method) = match name.strip_prefix('<').and_then(split_at_close) {
        Some((inside, method)) => {
            let subject = inside.split(" as ").next().unwrap_or(inside);
            // `<&T as Trait>` and `<[T]>` are of no use to a reader beyond the type.
            (subject.trim_start_matches(['&', '*']), method)
        }
        None => (name, ""),
    };
    let whole = format!("{qualified}{method}");
    let plain = without_generics(&whole);
    let own = plain.rsplit_once("shop::").map(|(_, short)| short);
    let short = own.unwrap_or(&plain).replace(';', ":").replace(' ', "_");
    (short, own.is_some())
}

/// Splits `T as Trait>::method` at the `>` that closes what was opened before it.
fn split_at_close(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1_u32;
    let bytes = text.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        let arrow = place > 0 && bytes.get(place - 1) == Some(&b'-');
        match byte {
            b'<' => depth += 1,
            b'>' if !arrow => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(..place)?, text.get(place + 1..)?));
        }
    }
    None
}

/// Drops everything between angle brackets, and the `::` that may stand before them.
fn without_generics(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut depth = 0_u32;
    let mut before = ' ';
    for character in name.chars() {
        match character {
            '<' => {
                if depth == 0 && plain.ends_with("::") {
                    plain.truncate(plain.len() - 2);
                }
                depth += 1;
            }
            '>' if before != '-' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
        before = character;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(names: &[&[&str]]) -> Vec<Vec<String>> {
        names.iter().map(|frame| frame.iter().map(|name| (*name).to_owned()).collect()).collect()
    }

    #[test]
    fn a_sample_of_a_handler_is_cut_at_both_ends() {
        let met = frames(&[
            &["backtrace::trace_unsynchronized", "pprof::Trace::trace"],
            &["perf_signal_handler"],
            &["__restore_rt"],
            &["core::inlined", "incident::shop::payment::rules::same"],
            &["incident::shop::payment::rules::equal_pairwise"],
            &["<incident::shop::payment::Payment as incident::shop::http::server::Handler>::handle"],
            &["incident::shop::http::server::serve_connection"],
            &["std::sys::backtrace::__rust_begin_short_backtrace"],
            &["clone3"],
        ]);
        let expected = "payment;http::server::serve_connection;payment::Payment::handle;\
            payment::rules::equal_pairwise;payment::rules::same;core::inlined";
        assert_eq!(fold("payment", &met), expected);
    }

    #[test]
    fn a_library_is_shown_by_the_function_that_was_called_and_what_it_calls_back() {
        let met = frames(&[
            &["alloc::vec::Vec<incident::shop::x::T>::push"],
            &["incident::shop::payment::compare"],
            &["core::slice::sort::shared::smallsort", "core::slice::sort::quicksort"],
            &["core::slice::sort::unstable::sort::<incident::shop::x::T>"],
            &["incident::shop::http::server::serve_connection"],
        ]);
        let expected = "payment;http::server::serve_connection;core::slice::sort::unstable::sort;\
            payment::compare;alloc::vec::Vec::push";
        assert_eq!(fold("payment", &met), expected);
    }

    #[test]
    fn a_sample_of_another_thread_is_background() {
        let met = frames(&[
            &["perf_signal_handler"],
            &["__restore_rt"],
            &["incident::shop::server::accept"],
            &["std::sys::backtrace::__rust_begin_short_backtrace"],
            &["clone3"],
        ]);
        assert_eq!(fold("db", &met), "db;background;server::accept");
        assert_eq!(fold("db", &[]), "db;background");
    }

    #[test]
    fn names_lose_their_paths_and_generic_arguments_but_nothing_else() {
        for (name, expected) in [
            ("incident::shop::db::heap::Heap::full_scan", "db::heap::Heap::full_scan"),
            (
                "core::slice::sort::unstable::quicksort::quicksort::<(u64, &str), F>",
                "core::slice::sort::unstable::quicksort::quicksort",
            ),
            ("<alloc::vec::Vec<T> as core::iter::FromIterator<T>>::from_iter", "alloc::vec::Vec::from_iter"),
            ("<&mut F as FnOnce<(A,)> >::call_once", "mut_F::call_once"),
            ("<fn() -> u8 as X>::call", "fn()_->_u8::call"),
            ("main", "main"),
            ("a::{{closure}}", "a::{{closure}}"),
            ("odd<", "odd"),
            ("<odd", ""),
        ] {
            let ours = name.contains("shop::");
            assert_eq!(tidy(name), (expected.to_owned(), ours), "{name}");
        }
    }
}
