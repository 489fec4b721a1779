//! Recognises the parts of a word that vary from line to line, without regular expressions.

/// How a word of a line may take part in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// A word of the message: keeps templates apart until it is shown to vary.
    Plain,
    /// Masked in part or whole: varies at the second look.
    Shape,
    /// `key=`: never varies.
    Key,
    /// What follows `key=`: varies at the second look as well.
    Value,
    /// Only in templates: anything.
    Any,
}

/// Writes `word`, which holds no white space, with its varying parts masked.
pub(crate) fn mask_word(word: &str, out: &mut String) -> Class {
    let before = out.len();
    let (core_start, core_end) = core_of(word);
    let (prefix, rest) = word.split_at_checked(core_start).unwrap_or((word, ""));
    let (core, suffix) = rest.split_at_checked(core_end - core_start).unwrap_or((rest, ""));
    out.push_str(prefix);
    if let Some(mask) = whole(core) {
        out.push_str(mask);
    } else if core.bytes().any(|byte| byte.is_ascii_digit()) {
        pieces(core, out);
    } else {
        out.push_str(core);
    }
    out.push_str(suffix);
    let unchanged = out.get(before..) == Some(word);
    if unchanged { Class::Plain } else { Class::Shape }
}

/// The word without the brackets, quotes and punctuation around it.
fn core_of(word: &str) -> (usize, usize) {
    let opening = ['(', '[', '{', '<', '"', '\'', '`', ',', ';', ':', '=', '#'];
    let closing = [')', ']', '}', '>', '"', '\'', '`', ',', ';', ':', '.', '!', '?', '='];
    let start = word.len() - word.trim_start_matches(opening).len();
    // IPv6 addresses may begin with two colons.
    let start =
        if word.get(..start).is_some_and(|prefix| prefix.ends_with("::")) { start - 2 } else { start };
    let end = word.trim_end_matches(closing).len().max(start);
    (start, end)
}

/// The mask of a word that varies as a whole.
fn whole(core: &str) -> Option<&'static str> {
    let bytes = core.as_bytes();
    let has_digit = bytes.iter().any(u8::is_ascii_digit);
    if is_day_or_month(core) {
        return Some("<time>");
    }
    if core.contains("://") {
        return Some("<url>");
    }
    if is_path(core) {
        return Some("<path>");
    }
    if !has_digit {
        let hex = bytes.len() >= 8 && bytes.iter().all(u8::is_ascii_hexdigit);
        return hex.then_some("<hex>");
    }
    if is_number(core) {
        Some("<num>")
    } else if is_uuid(bytes) {
        Some("<uuid>")
    } else if is_ip(core) {
        Some("<ip>")
    } else if is_time(bytes) {
        Some("<time>")
    } else if is_hex(bytes) {
        Some("<hex>")
    } else if is_host_and_port(core) {
        Some("<host>")
    } else if is_identifier(core) {
        Some("<id>")
    } else {
        None
    }
}

/// Masks what varies between inner punctuation: `a:1/b` becomes `a:<num>/b`.
fn pieces(core: &str, out: &mut String) {
    let mut rest = core;
    while !rest.is_empty() {
        let end = rest.find(|ch: char| !is_inner(ch)).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        let trimmed = piece.trim_end_matches(['.', '-', '_']);
        match whole(trimmed) {
            Some(mask) => {
                out.push_str(mask);
                out.push_str(piece.get(trimmed.len()..).unwrap_or_default());
            }
            None => out.push_str(piece),
        }
        let separator = tail.chars().next().map_or(0, char::len_utf8);
        let (separator, tail) = tail.split_at(separator);
        out.push_str(separator);
        rest = tail;
    }
}

fn is_inner(ch: char) -> bool {
    ch.is_alphanumeric() || matches!(ch, '_' | '-' | '.' | '+' | '%')
}

/// `12`, `-3.5`, `1,299`, `45%`, `12ms`, `1.5e-3`.
fn is_number(core: &str) -> bool {
    let unsigned = core.strip_prefix(['-', '+']).unwrap_or(core);
    let digits = |ch: char| ch.is_ascii_digit() || matches!(ch, '.' | ',');
    let end = unsigned.find(|ch: char| !digits(ch)).unwrap_or(unsigned.len());
    let (number, unit) = unsigned.split_at(end);
    let two_dots = number.bytes().filter(|&byte| byte == b'.').count() > 1;
    if two_dots || !number.starts_with(|ch: char| ch.is_ascii_digit()) {
        return false;
    }
    unit.is_empty() || is_unit(unit) || is_exponent(unit)
}

fn is_exponent(text: &str) -> bool {
    let Some(digits) = text.strip_prefix(['e', 'E']) else { return false };
    let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

const UNITS: [&str; 34] = [
    "%", "ns", "us", "µs", "ms", "s", "sec", "secs", "second", "seconds", "m", "min", "mins", "minutes", "h",
    "hours", "d", "days", "b", "byte", "bytes", "k", "kb", "kib", "mb", "mib", "gb", "gib", "tb", "tib",
    "hz", "mhz", "ghz", "x",
];

/// True for the units that go with numbers, such as `ms` and `bytes`.
pub(crate) fn is_unit(text: &str) -> bool {
    UNITS.iter().any(|unit| unit.eq_ignore_ascii_case(text))
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// IPv4 with or without port or prefix length, IPv6.
fn is_ip(core: &str) -> bool {
    // Java prints addresses as `name/address`, with an empty name at times.
    let core = core.strip_prefix('/').unwrap_or(core);
    let host = core.split([':', '/']).next().unwrap_or_default();
    let after = core.get(host.len() + 1..).unwrap_or_default();
    let octet = |part: &str| part.len() <= 3 && part.parse::<u8>().is_ok();
    let is_v4 = host.split('.').count() == 4 && host.split('.').all(octet);
    if is_v4 {
        return after.bytes().all(|byte| byte.is_ascii_digit());
    }
    let colons = core.bytes().filter(|&byte| byte == b':').count();
    let hex = core.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    hex && colons >= 2 && (core.contains("::") || colons == 7 || colons == 5)
}

/// Digits with `:`, `-` or `/` between them, as in times and dates, with `T`, `Z` and fractions.
fn is_time(bytes: &[u8]) -> bool {
    let separators = bytes.iter().filter(|byte| matches!(byte, b':' | b'-' | b'/')).count();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let allowed = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b':' | b'-' | b'/' | b'.' | b',');
    let marks = bytes.iter().filter(|byte| matches!(byte, b'T' | b'Z')).count();
    let others = bytes.iter().filter(|byte| !allowed(byte)).count();
    bytes.first().is_some_and(u8::is_ascii_digit)
        && separators >= 1
        && digits >= 3
        && others == marks
        && marks <= 2
}

/// `0x1f`, or at least four hexadecimal digits of which one is a digit and one a letter.
fn is_hex(bytes: &[u8]) -> bool {
    if let Some(digits) = bytes.strip_prefix(b"0x").or_else(|| bytes.strip_prefix(b"0X")) {
        return !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    }
    // Identifiers that were shortened for the log end in dots, which are no part of the core.
    bytes.len() >= 4 && bytes.iter().all(u8::is_ascii_hexdigit)
}

/// `/a/b`, `~/x`, `C:\x`: at least two segments, so that a word with a slash stays one.
fn is_path(core: &str) -> bool {
    let rooted = core.starts_with('/') || core.starts_with("~/") || core.starts_with("./");
    let windows = core.as_bytes().get(1..3) == Some(b":\\");
    windows || (rooted && core.bytes().filter(|&byte| byte == b'/').count() >= 2 && core.len() > 3)
}

/// `cache.example.org:6379`, `localhost:80`.
fn is_host_and_port(core: &str) -> bool {
    let Some((host, port)) = core.rsplit_once(':') else { return false };
    let name = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '.' | '-');
    let is_port = (2..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, address) = host.split_once('/').unwrap_or((host, ""));
    let is_address = address.is_empty() || is_ip(address);
    let is_host = host.contains(['.', '-']) || host == "localhost" || !address.is_empty();
    is_port && is_address && is_host && host.chars().all(name)
}

/// As C's `ctime` writes them.
fn is_day_or_month(core: &str) -> bool {
    const NAMES: [&str; 19] = [
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
        "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    NAMES.contains(&core)
}

/// Letters, digits and joiners of which some are digits, but not a word with a short number at its
/// end, such as `ssh2` or `sha256`: those are more often part of the message.
fn is_identifier(core: &str) -> bool {
    if !core.chars().all(is_inner) {
        return false;
    }
    let stem = core.trim_end_matches(|ch: char| ch.is_ascii_digit());
    let word = stem.len() >= 2 && stem.chars().all(char::is_alphabetic);
    !(word && core.len() - stem.len() <= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(word: &str) -> String {
        let mut out = String::new();
        mask_word(word, &mut out);
        out
    }

    #[test]
    fn each_form_has_its_mask() {
        for (word, expected) in [
            ("1299", "<num>"),
            ("-3.5", "<num>"),
            ("12ms,", "<num>,"),
            ("45%", "<num>"),
            ("6.02e23", "<num>"),
            ("(1.13", "(<num>"),
            ("0x1F", "<hex>"),
            ("4f2a", "<hex>"),
            ("deadbeef", "<hex>"),
            ("decade", "decade"),
            ("10.0.0.1:8080", "<ip>"),
            ("/10.0.0.1:80", "<ip>"),
            ("node-4/10.0.0.1:80", "<host>"),
            ("node-4:9000", "<host>"),
            ("Jun", "<time>"),
            ("fe80::1", "<ip>"),
            ("aa:bb:cc:dd:ee:0f", "<ip>"),
            ("10:11:12.123", "<time>"),
            ("2026-11-22T10:11:12Z", "<time>"),
            ("123e4567-e89b-12d3-a456-426614174000", "<uuid>"),
            ("https://example.org/a?b=1", "<url>"),
            ("/var/log/syslog", "<path>"),
            ("cache.example.org:6379", "<host>"),
            ("blk_3886504906", "<id>"),
            ("ssh2", "ssh2"),
            ("onExtend:1514038530000", "onExtend:<num>"),
            ("a1514b##699x##9", "<hex>##<num>##<num>"),
            ("node-7.rack.12:", "<id>:"),
            ("declined", "declined"),
            ("", ""),
            ("...", "..."),
        ] {
            assert_eq!(masked(word), expected, "{word}");
        }
    }

    #[test]
    fn words_of_a_message_are_plain_and_the_others_are_not() {
        let class = |word: &str| mask_word(word, &mut String::new());
        for plain in
            ["declined", "failed:", "(root)", "can't", "Übertragung", "issuer_timeout", "ssh2", "a/b"]
        {
            assert_eq!(class(plain), Class::Plain, "{plain}");
        }
        for shape in ["12", "a:1", "4f2a..", "/var/log/x", "Jul"] {
            assert_eq!(class(shape), Class::Shape, "{shape}");
        }
    }
}
