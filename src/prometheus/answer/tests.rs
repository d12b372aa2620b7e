use proptest::prelude::*;

use super::*;

fn success(data: &str) -> Result<Answered, Undecoded> {
    decode(format!("{{\"status\":\"success\",\"data\":{data}}}").as_bytes())
}

fn vector(samples: &str) -> Result<Answer, Undecoded> {
    success(&format!("{{\"resultType\":\"vector\",\"result\":[{samples}]}}")).map(|answered| answered.answer)
}

fn not_prometheus(fault: &str) -> Result<Answer, Undecoded> {
    Err(Undecoded::NotPrometheus(fault.into()))
}

#[test]
fn one_series_is_a_value_none_is_none_and_more_are_counted() {
    let sample = "{\"metric\":{\"pod\":\"a\"},\"value\":[1700000000.123,\"42.5\"]}";
    assert_eq!(vector(sample), Ok(Answer::Value(42.5)));
    assert_eq!(vector(""), Ok(Answer::NoSeries));
    assert_eq!(vector(&[sample; 3].join(",")), Ok(Answer::ManySeries(3)));
    let many = vec!["{}"; 100_000].join(",");
    assert_eq!(vector(&many), Ok(Answer::ManySeries(100_000)));
}

#[test]
fn every_number_that_prometheus_writes_is_read() {
    for (text, value) in [
        ("0", 0.0),
        ("-500", -500.0),
        ("1e+18", 1e18),
        ("1.7976931348623157e+308", f64::MAX),
        ("+Inf", f64::INFINITY),
        ("-Inf", f64::NEG_INFINITY),
        ("5e-324", 5e-324),
    ] {
        assert_eq!(vector(&format!("{{\"value\":[1,\"{text}\"]}}")), Ok(Answer::Value(value)), "{text}");
        let scalar = success(&format!("{{\"result\":[1,\"{text}\"],\"resultType\":\"scalar\"}}"));
        assert_eq!(scalar.map(|answered| answered.answer), Ok(Answer::Value(value)), "scalar {text}");
    }
    assert!(matches!(vector("{\"value\":[1,\"NaN\"]}"), Ok(Answer::Value(value)) if value.is_nan()));
}

#[test]
fn samples_of_the_wrong_shape_are_refused_with_a_reason() {
    // Cut off it would be another number.
    let endless = format!("{{\"value\":[1,\"{}7\"]}}", "0".repeat(LONGEST_WORDS));
    assert_eq!(vector(&endless), not_prometheus("the sample's value is longer than any number"));
    let pair = "the sample is not a list of time and value";
    for (series, fault) in [
        ("{\"value\":[1,42]}", "the sample's value is a JSON number, where Prometheus writes a string"),
        ("{\"value\":[1,\"forty\"]}", "the sample's value is \"forty\""),
        ("{\"value\":[1,\"\"]}", "the sample's value is \"\""),
        ("{\"value\":[\"1\",\"2\"]}", pair),
        ("{\"value\":[1]}", pair),
        ("{\"value\":[1,\"2\",3]}", pair),
        ("{\"value\":[]}", pair),
        ("{\"value\":[1,null]}", pair),
        ("{\"value\":{}}", pair),
        ("{\"value\":true}", pair),
        ("{\"metric\":{}}", "the series in the result has no value"),
        ("[1,\"2\"]", "the series in the result is not an object"),
        ("null", "the series in the result is not an object"),
    ] {
        assert_eq!(vector(series), not_prometheus(fault), "{series}");
    }
}

#[test]
fn results_that_are_no_number_are_refused_with_what_to_write_instead() {
    for (data, words) in [
        (r#"{"resultType":"matrix","result":[]}"#, format!("answered, but {RETURNS_A_RANGE}")),
        (r#"{"resultType":"string","result":[1,"x"]}"#, format!("answered, but {RETURNS_A_STRING}")),
        (r#"{"resultType":"streams","result":[]}"#, "answered with the unknown type \"streams\"".into()),
    ] {
        let refusal = Undecoded::Error { kind: FailureKind::UnsupportedResult, words };
        assert_eq!(success(data), Err(refusal), "{data}");
    }
    let histogram = vector(r#"{"metric":{},"histogram":[1,{"count":"3","sum":"1","buckets":[]}]}"#);
    let Err(Undecoded::Error { kind: FailureKind::UnsupportedResult, words }) = histogram else {
        panic!("{histogram:?}")
    };
    assert!(words.contains("histogram_quantile(...)"), "{words}");
}

#[test]
fn bodies_that_are_not_the_query_apis_are_told_apart() {
    let no_result = "the field data holds no resultType and result";
    for (body, fault) in [
        (r#"{"status":"success"}"#, no_result),
        (r#"{"status":"success","data":null}"#, no_result),
        (r#"{"status":"success","data":"text"}"#, no_result),
        (r#"{"status":"success","data":{"resultType":"vector"}}"#, no_result),
        (r#"{"status":"success","data":{"resultType":"vector","result":{}}}"#, "the result is not a list"),
        (r#"{"status":"success","data":{"resultType":"scalar","result":"1"}}"#, "the result is not a list"),
        (r#"{"status":"ok"}"#, "the field status is \"ok\""),
        ("<html>", "no JSON object"),
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        (r#"{"status":"success"} trailing"#, "trailing characters at line 1 column 22"),
    ] {
        assert_eq!(decode(body.as_bytes()), Err(Undecoded::NotPrometheus(fault.into())), "{body}");
    }
    let invalid_utf8 = decode(b"{\"status\":\"\xff\xfe\"}");
    assert!(matches!(invalid_utf8, Err(Undecoded::NotPrometheus(_))), "{invalid_utf8:?}");
    let deep = [b"{\"status\":\"success\",\"data\":".as_slice(), &b"[".repeat(100_000)].concat();
    assert!(matches!(decode(&deep), Err(Undecoded::NotPrometheus(_))));
}

#[test]
fn errors_of_the_server_keep_its_words() {
    for (error_type, kind, words) in [
        ("bad_data", FailureKind::QueryRefused, "refused the query: why"),
        ("400", FailureKind::QueryRefused, "refused the query: why"),
        ("execution", FailureKind::QueryRefused, "could not evaluate the query: why"),
        (
            "timeout",
            FailureKind::Timeout,
            "gave the query up: why; make it cheaper, for example by a recording rule, or raise timeoutSeconds",
        ),
        ("canceled", FailureKind::Unavailable, "cancelled the query: why"),
        ("internal", FailureKind::Unavailable, "could not answer (internal): why"),
    ] {
        let body = format!(r#"{{"status":"error","errorType":"{error_type}","error":"why","data":{{}}}}"#);
        assert_eq!(decode(body.as_bytes()), Err(Undecoded::Error { kind, words: words.into() }));
    }
    let mute = decode(br#"{"status":"error"}"#);
    let words = "could not answer: it gave no reason".to_owned();
    assert_eq!(mute, Err(Undecoded::Error { kind: FailureKind::Unavailable, words }));
    let long = format!(r#"{{"status":"error","error":"{}\n\u0007"}}"#, "x".repeat(5000));
    let Err(Undecoded::Error { words, .. }) = decode(long.as_bytes()) else { panic!() };
    assert!(words.len() < 400 && words.ends_with('…') && !words.contains('\n'), "{words}");
}

#[test]
fn warnings_are_kept_bounded_and_notes_stand_apart() {
    let notes = |count: usize, text: &str| vec![format!("\"{text}\""); count].join(",");
    let body = format!(
        r#"{{"status":"success","data":{{"resultType":"scalar","result":[1,"2"]}},"warnings":[{},{},{{}}],"infos":["i"]}}"#,
        notes(2, "PromQL info: metric might not be a counter"),
        notes(12, &"w".repeat(1000))
    );
    let answered = decode(body.as_bytes()).unwrap();
    assert_eq!(answered.warnings.len(), 11);
    assert_eq!(answered.warnings[10], "and 3 more");
    assert!(answered.warnings.iter().all(|warning| warning.chars().count() <= LONGEST_WORDS + 1));
    assert_eq!(answered.infos.len(), 3, "{:?}", answered.infos);
    let only_notes = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]},"warnings":["PromQL info: x"]}"#;
    assert_eq!(decode(only_notes.as_bytes()).unwrap().warnings, Vec::<String>::new());
    let null = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]},"warnings":null,"infos":null}"#;
    assert_eq!(decode(null.as_bytes()).unwrap().answer, Answer::Value(2.0));
}

/// Any JSON, of the shapes that an answer has and others.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        prop_oneof![Just("success"), Just("error"), Just("vector"), Just("matrix"), Just("1"), Just("NaN")]
            .prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let field = prop::sample::select(vec![
            "status",
            "data",
            "resultType",
            "result",
            "metric",
            "value",
            "histogram",
            "warnings",
            "infos",
            "error",
            "errorType",
            "other",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((field, inner), 0..6).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in any::<Vec<u8>>()) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn no_json_makes_the_decoder_panic_or_keep_much(result in json(), notes in json(), data in json()) {
        let bodies = [
            serde_json::json!({"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": notes}),
            serde_json::json!({"status": "success", "data": data}),
            data,
        ];
        for body in bodies {
            if let Ok(answered) = decode(body.to_string().as_bytes()) {
                prop_assert!(answered.warnings.len() <= MAX_WARNINGS + 1);
            }
        }
    }

    #[test]
    fn every_double_comes_back_as_it_was(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        match vector(&format!("{{\"value\":[1,\"{value:e}\"]}}")) {
            Ok(Answer::Value(read)) => prop_assert!(read.total_cmp(&value).is_eq() || (read.is_nan() && value.is_nan())),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
