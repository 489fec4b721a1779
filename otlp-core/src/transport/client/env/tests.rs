//! Each variable against the text of the specification.

use proptest::prelude::*;

use super::*;

fn environment<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
    |name| {
        let name = name.strip_prefix(PREFIX).expect("nothing else is looked at");
        variables.iter().find(|(met, _)| *met == name).map(|(_, value)| (*value).to_owned())
    }
}

fn read(signal: Signal, variables: &[(&str, &str)]) -> FromEnv<ClientConfig> {
    ClientConfig::from_env(signal, environment(variables))
}

/// What a client of traces is told, nothing being wrong.
fn traces(variables: &[(&str, &str)]) -> ClientConfig {
    let FromEnv { value, errors } = read(Signal::Traces, variables);
    assert!(errors.is_empty(), "{errors:?}");
    value
}

/// The URL that requests of the signal are sent to.
fn url(config: &ClientConfig, signal: Signal) -> String {
    config.url(signal).expect("an endpoint")
}

#[test]
fn without_variables_the_defaults_are_those_of_the_specification() {
    for (signal, path) in [
        (Signal::Traces, "/v1/traces"),
        (Signal::Metrics, "/v1/metrics"),
        (Signal::Logs, "/v1/logs"),
        (Signal::Profiles, "/v1development/profiles"),
    ] {
        let read = read(signal, &[]).strict().expect("nothing wrong");
        assert_eq!(url(&read, signal), format!("http://localhost:4318{path}"));
        assert_eq!((read.protocol, read.compression), (Protocol::HttpProtobuf, Compression::None));
        assert_eq!((&read.exporter, read.headers.len()), (&ExporterConfig::default(), 0));
        assert!(read.build().is_ok());
    }
}

#[test]
fn the_general_endpoint_gets_the_signals_path_and_the_signals_own_is_used_as_it_is() {
    for (variables, expected) in [
        (&[("ENDPOINT", "http://collector:4318")][..], "http://collector:4318/v1/traces"),
        (&[("ENDPOINT", "http://collector:4318/")], "http://collector:4318/v1/traces"),
        (
            &[("ENDPOINT", "http://collector:4318/mycollector/")],
            "http://collector:4318/mycollector/v1/traces",
        ),
        (&[("ENDPOINT", "http://collector/mycollector")], "http://collector:4318/mycollector/v1/traces"),
        (&[("TRACES_ENDPOINT", "http://collector:4318")], "http://collector:4318/"),
        (&[("TRACES_ENDPOINT", "http://collector:4318/")], "http://collector:4318/"),
        (&[("TRACES_ENDPOINT", "http://collector:1/v1/traces")], "http://collector:1/v1/traces"),
        (&[("TRACES_ENDPOINT", "http://collector:1/a//b/")], "http://collector:1/a//b/"),
        (&[("TRACES_ENDPOINT", "http://collector:1/a?key=b%20c&d")], "http://collector:1/a?key=b%20c&d"),
        (&[("TRACES_ENDPOINT", "http://collector:1?key")], "http://collector:1/?key"),
        (&[("TRACES_ENDPOINT", "http://own:1/x"), ("ENDPOINT", "http://general:2/y")], "http://own:1/x"),
        (
            &[("METRICS_ENDPOINT", "http://metrics:1"), ("ENDPOINT", " http://general:2/y ")],
            "http://general:2/y/v1/traces",
        ),
        (&[("TRACES_ENDPOINT", ""), ("ENDPOINT", "http://general:2")], "http://general:2/v1/traces"),
        (&[("TRACES_ENDPOINT", " "), ("ENDPOINT", "")], "http://localhost:4318/v1/traces"),
        (&[("ENDPOINT", "http://[::1]:9")], "http://[::1]:9/v1/traces"),
    ] {
        assert_eq!(url(&traces(variables), Signal::Traces), expected, "{variables:?}");
        let json = [variables, &[("PROTOCOL", "http/json")]].concat();
        assert_eq!(url(&traces(&json), Signal::Traces), expected, "{variables:?}");
    }
}

#[test]
fn an_endpoint_that_is_none_is_reported_by_name_and_the_next_one_holds() {
    for text in
        ["collector", "collector:4318", "ftp://c", "http://", "http://a b", "http://u:secret@h", "http://h:x"]
    {
        for name in ["ENDPOINT", "TRACES_ENDPOINT"] {
            let FromEnv { value, errors } = read(Signal::Traces, &[(name, text)]);
            assert_eq!(url(&value, Signal::Traces), "http://localhost:4318/v1/traces", "{text}");
            let [error] = &errors[..] else { panic!("{text}: {errors:?}") };
            assert!(error.to_string().starts_with(&format!("{PREFIX}{name}: endpoint: ")), "{error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
    let both = [("TRACES_ENDPOINT", "nonsense"), ("ENDPOINT", "http://general:1")];
    let FromEnv { value, errors } = read(Signal::Traces, &both);
    assert_eq!((url(&value, Signal::Traces).as_str(), errors.len()), ("http://general:1/v1/traces", 1));
}

#[cfg(feature = "grpc")]
#[test]
fn grpc_endpoints_have_no_path_and_need_no_scheme() {
    let grpc = |variables: &[(&str, &str)]| {
        let variables = [&[("PROTOCOL", "grpc")], variables].concat();
        let config = traces(&variables);
        assert_eq!(config.protocol, Protocol::Grpc);
        config.endpoint
    };
    assert_eq!(grpc(&[]), "http://localhost:4317");
    assert_eq!(grpc(&[("INSECURE", "true")]), "http://localhost:4317");
    assert_eq!(grpc(&[("ENDPOINT", "http://collector:1/")]), "http://collector:1/");
    assert_eq!(grpc(&[("TRACES_ENDPOINT", "http://collector:1")]), "http://collector:1");
    for (insecure, expected) in
        [("true", "http://collector:1"), ("True", "http://collector:1"), ("TRUE", "http://collector:1")]
    {
        assert_eq!(grpc(&[("INSECURE", insecure), ("ENDPOINT", "collector:1")]), expected);
    }
    let own = [("INSECURE", "false"), ("TRACES_INSECURE", "true"), ("ENDPOINT", "collector:1")];
    assert_eq!(grpc(&own), "http://collector:1");
    // The scheme goes before the switch.
    assert_eq!(grpc(&[("INSECURE", "false"), ("ENDPOINT", "http://collector:1")]), "http://collector:1");
    let path = [("PROTOCOL", "grpc"), ("ENDPOINT", "http://collector/otlp")];
    let FromEnv { value, errors } = read(Signal::Traces, &path);
    assert_eq!((value.endpoint.as_str(), errors.len()), ("http://localhost:4317", 1));
}

#[cfg(all(feature = "grpc", feature = "tls"))]
#[test]
fn a_grpc_endpoint_without_a_scheme_is_secure_unless_told_otherwise() {
    for insecure in [&[("INSECURE", "false")][..], &[], &[("METRICS_INSECURE", "true")]] {
        let variables = [&[("PROTOCOL", "grpc"), ("ENDPOINT", "collector:1")], insecure].concat();
        assert_eq!(traces(&variables).endpoint, "https://collector:1", "{insecure:?}");
    }
    let secure = [("PROTOCOL", "grpc"), ("INSECURE", "true"), ("ENDPOINT", "https://collector:1")];
    assert_eq!(traces(&secure).endpoint, "https://collector:1");
    let FromEnv { value, errors } =
        read(Signal::Traces, &[("PROTOCOL", "grpc"), ("INSECURE", "yes"), ("ENDPOINT", "collector:1")]);
    assert_eq!((value.endpoint.as_str(), errors.len()), ("https://collector:1", 1));
}

#[test]
fn protocol_compression_and_timeout_are_read_and_what_is_none_of_them_is_told() {
    for (text, protocol) in [
        ("http/protobuf", Some(Protocol::HttpProtobuf)),
        ("HTTP/JSON", Some(Protocol::HttpJson)),
        ("http", None),
        ("http/xml", None),
        ("secret", None),
    ] {
        let FromEnv { value, errors } = read(Signal::Logs, &[("PROTOCOL", text)]);
        assert_eq!(
            (value.protocol, errors.len()),
            (protocol.unwrap_or_default(), usize::from(protocol.is_none()))
        );
    }
    for (text, timeout) in [
        ("1", Some(Duration::from_millis(1))),
        ("10000", Some(Duration::from_secs(10))),
        ("0", Some(Duration::MAX)),
        ("-1", None),
        ("10s", None),
        ("1.5", None),
        ("99999999999999999999", None),
    ] {
        let FromEnv { value, errors } = read(Signal::Logs, &[("LOGS_TIMEOUT", text)]);
        let default = ExporterConfig::default();
        let expected = timeout.map_or(default.clone(), |timeout| default.timeout(timeout));
        assert_eq!((&value.exporter, errors.len()), (&expected, usize::from(timeout.is_none())), "{text}");
        assert!(value.build().is_ok(), "{text}");
    }
    for text in ["deflate", "gzip,none", "1"] {
        let FromEnv { value, errors } = read(Signal::Logs, &[("COMPRESSION", text)]);
        assert_eq!((value.compression, errors.len()), (Compression::None, 1), "{text}");
    }
    let all = [("COMPRESSION", "x-secret"), ("PROTOCOL", "x-secret"), ("TIMEOUT", "x-secret")];
    let FromEnv { errors, .. } = read(Signal::Logs, &all);
    assert_eq!(errors.len(), 3);
    assert!(!format!("{errors:?}").contains("x-secret"), "{errors:?}");
}

#[cfg(feature = "gzip")]
#[test]
fn the_signals_own_variable_goes_before_the_general_one_and_a_wrong_one_does_not() {
    for (own, general, expected) in [
        ("none", "gzip", Compression::None),
        ("gzip", "none", Compression::Gzip),
        ("", "GZIP", Compression::Gzip),
        ("nonsense", "gzip", Compression::Gzip),
        ("gzip", "nonsense", Compression::Gzip),
    ] {
        let FromEnv { value, errors } =
            read(Signal::Metrics, &[("METRICS_COMPRESSION", own), ("COMPRESSION", general)]);
        assert_eq!(value.compression, expected, "{own:?} {general:?}");
        // A wrong value that nobody needs is not looked at.
        assert_eq!(errors.len(), usize::from(own == "nonsense"));
        assert_eq!(traces(&[("METRICS_COMPRESSION", own)]).compression, Compression::None);
    }
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_is_chosen_by_its_name_alone() {
    assert_eq!(traces(&[("COMPRESSION", "zstd")]).compression, Compression::Zstd);
}

fn pairs(text: &str) -> (Vec<(String, String)>, Vec<String>) {
    let FromEnv { value, errors } = read(Signal::Traces, &[("HEADERS", text)]);
    assert!(value.clone().build().is_ok(), "{text:?}");
    (value.headers, errors.iter().map(ToString::to_string).collect())
}

#[test]
fn headers_are_pairs_with_percent_encoded_values() {
    for (text, expected) in [
        ("key1=value1,key2=value2", &[("key1", "value1"), ("key2", "value2")][..]),
        (" Api-Key = abc , x=1 ", &[("api-key", "abc"), ("x", "1")]),
        ("authorization=Basic%20dTpw%3D%3D", &[("authorization", "Basic dTpw==")]),
        ("authorization=Basic dTpw==", &[("authorization", "Basic dTpw==")]),
        ("a=%2C%3d%25,b=", &[("a", ",=%"), ("b", "")]),
        ("a=1;meta=2", &[("a", "1;meta=2")]),
        (",a=1,,", &[("a", "1")]),
        ("a=1,A=2", &[("a", "2")]),
    ] {
        let (headers, wrong) = pairs(text);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!((headers.as_slice(), wrong.len()), (expected, 0), "{text:?}");
    }
}

#[test]
fn a_bad_pair_is_left_out_and_told_by_its_place_and_the_others_stay() {
    for (bad, what) in [
        ("secret", "expected name=value"),
        ("=secret", "no header name"),
        ("a b=secret", "no header name"),
        ("x=secret%", "bad percent-encoding"),
        ("x=secret%g0", "bad percent-encoding"),
        ("x=secret%ff", "no UTF-8"),
        ("x=secret%0D%0Ay: z", "no header value"),
        ("Content-Type=secret", "a name that belongs to the transport"),
        ("host=secret", "a name that belongs to the transport"),
    ] {
        let (headers, wrong) = pairs(&format!("a=1,{bad},b=2"));
        assert_eq!(headers, [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())], "{bad}");
        assert_eq!(wrong, [format!("{PREFIX}HEADERS: {what} in the header at byte 4")], "{bad}");
    }
}

#[test]
fn headers_of_the_signal_replace_the_general_ones_and_there_is_a_bound() {
    let both = [("HEADERS", "a=1,b=2"), ("TRACES_HEADERS", "c=3,bad")];
    let FromEnv { value, errors } = read(Signal::Traces, &both);
    assert_eq!(value.headers, [("c".to_owned(), "3".to_owned())]);
    assert_eq!(
        errors[0].to_string(),
        format!("{PREFIX}TRACES_HEADERS: expected name=value in the header at byte 4")
    );
    let many: Vec<_> = (0..=MAX_HEADERS).map(|number| format!("h{number}=x")).collect();
    let (headers, wrong) = pairs(&many.join(","));
    assert_eq!((headers.len(), wrong.len()), (MAX_HEADERS, 1));
}

#[test]
fn no_value_of_a_header_is_ever_printed() {
    let config = traces(&[("HEADERS", "authorization=hunter2")]);
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[cfg(feature = "tls")]
#[test]
fn certificates_are_files_and_a_key_belongs_to_its_certificate() {
    let secure = ("ENDPOINT", "https://collector");
    let FromEnv { value, errors } = read(Signal::Traces, &[secure, ("TRACES_CERTIFICATE", "/no/ca.pem")]);
    assert!(errors.is_empty());
    let error = value.build().expect_err("there is no such file");
    assert!(error.to_string().contains("/no/ca.pem"), "{error}");
    let identity = [secure, ("CLIENT_CERTIFICATE", "/no/cert.pem"), ("TRACES_CLIENT_KEY", "/no/key.pem")];
    let FromEnv { value, errors } = read(Signal::Traces, &identity);
    assert!(errors.is_empty() && value.build().is_err_and(|error| error.to_string().contains("/no/")));
    for alone in ["CLIENT_CERTIFICATE", "CLIENT_KEY"] {
        let FromEnv { errors, .. } = read(Signal::Traces, &[(alone, "/no/file.pem")]);
        let [error] = &errors[..] else { panic!("{errors:?}") };
        assert!(error.to_string().starts_with(&format!("{PREFIX}{alone}: set without CLIENT_")), "{error}");
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn certificates_without_tls_are_told() {
    let FromEnv { errors, .. } =
        read(Signal::Traces, &[("CERTIFICATE", "/no/ca.pem"), ("CLIENT_KEY", "/no/key")]);
    let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["CERTIFICATE", "CLIENT_KEY"].map(|name| format!("{PREFIX}{name}: needs the feature tls"))
    );
}

/// Percent-encodes all but letters and digits.
fn encode(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn headers_that_were_written_are_read(pairs_in in prop::collection::btree_map("x-[a-z0-9]{1,8}", "[ -~]{0,20}", 0..8)) {
        // White space around a value is not part of it unless it was encoded, as here.
        let text = pairs_in.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join(",");
        let (headers, wrong) = pairs(&text);
        prop_assert_eq!(wrong.len(), 0);
        prop_assert_eq!(headers.into_iter().collect::<std::collections::BTreeMap<_, _>>(), pairs_in);
    }

    #[test]
    fn whatever_is_set_makes_a_client_and_tells_no_value(values in prop::collection::vec("(grpc|http/json|gzip|true|http://[ -~]{0,12}|[ -~é]{0,20}|[a-z]=[ -~]{0,9},.{0,9})", 9)) {
        let names = ["PROTOCOL", "ENDPOINT", "TRACES_ENDPOINT", "INSECURE", "HEADERS", "COMPRESSION", "TIMEOUT", "TRACES_TIMEOUT", "TRACES_HEADERS"];
        let variables: Vec<_> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
        let FromEnv { value, .. } = read(Signal::Traces, &variables);
        // For TLS every client would read the certificates of the system.
        if !value.endpoint.starts_with("https://") {
            let built = value.build();
            prop_assert!(built.is_ok(), "{:?}", built.err());
        }
    }
}
