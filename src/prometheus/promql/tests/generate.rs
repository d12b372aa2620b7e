//! Random PromQL; shared with the tests that compare the room's reading with Prometheus's own.

use proptest::prelude::*;

/// A string literal in one of PromQL's three spellings.
fn string_literal() -> impl Strategy<Value = String> {
    let value = prop_oneof![Just(String::new()), "[ -~]{0,8}", any::<String>()];
    (value, 0..3_u8).prop_map(|(value, spelling)| match spelling {
        0 if !value.contains('`') => format!("`{value}`"),
        1 => {
            let escaped = value.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
            format!("'{escaped}'")
        }
        _ => {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("\"{escaped}\"")
        }
    })
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_][a-z0-9_]{0,5}",
        Just("or".to_owned()),
        Just("namespace".to_owned()),
        Just("on".to_owned())
    ]
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = (label(), prop_oneof![Just("="), Just("!=")], string_literal())
        .prop_map(|(label, operator, value)| format!("{label}{operator}{value}"));
    let regex = (label(), prop_oneof![Just("=~"), Just("!~")], "[a-z.*+|]{1,3}")
        .prop_filter_map("a regular expression", |(label, operator, value)| {
            regex_ok(&value).then(|| format!("{label}{operator}\"{value}\""))
        });
    (prop::collection::vec(prop_oneof![matcher, regex], 0..3), "[a-z_:][a-z0-9_:]{3,6}", any::<bool>())
        .prop_map(|(matchers, name, by_label)| {
            let name = format!("m{name}");
            if by_label {
                format!("{{__name__=\"{name}\",{}}}", matchers.join(","))
            } else {
                format!("{name}{{{}}}", matchers.join(", "))
            }
        })
}

fn regex_ok(text: &str) -> bool {
    promql_parser::parser::parse(&format!("x{{a=~\"{text}\"}}")).is_ok()
}

fn shift() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (1..100_000_u32).prop_map(|seconds| format!(" offset {seconds}s")),
        (1..100_000_u32).prop_map(|milliseconds| format!(" offset -{milliseconds}ms")),
        any::<i32>().prop_map(|seconds| format!(" @ {seconds}.25")),
        Just(" @ end() offset 1w".to_owned()),
    ]
}

/// An expression that yields a vector.
pub(crate) fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (selector(), shift()).prop_map(|(selector, shift)| format!("{selector}{shift}")),
        (selector(), shift()).prop_map(|(selector, shift)| format!("rate({selector}[5m]{shift})")),
        any::<f64>().prop_map(|number| format!("vector({number:?})")),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        let (one, other) = (inner.clone(), inner.clone());
        let operator = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "^",
            "atan2",
            "==",
            "!=",
            ">",
            "<",
            ">=",
            "<=",
            "> bool",
            "and",
            "or",
            "unless",
            "+ on (a)",
            "- ignoring (b) group_left ()",
            "/ on (a, b) group_right (c)",
            "or on ()",
            "== bool on (a)",
        ]);
        prop_oneof![
            (one, operator, other).prop_map(|(one, operator, other)| format!("{one} {operator} {other}")),
            inner.clone().prop_map(|expr| format!("-{expr}")),
            inner.clone().prop_map(|expr| format!("({expr})")),
            (inner.clone(), label()).prop_map(|(expr, label)| format!("sum by ({label}) ({expr})")),
            (inner.clone(), label()).prop_map(|(expr, label)| format!("max({expr}) without ({label}, x)")),
            (inner.clone(), inner.clone())
                .prop_map(|(one, other)| format!("quantile(scalar({one}), {other})")),
            (inner.clone(), string_literal())
                .prop_map(|(expr, text)| format!("label_replace({expr}, \"a\", {text}, 'b', \"(.*)\")")),
            (inner, shift()).prop_map(|(expr, shift)| format!("max_over_time(({expr})[10m:30s]{shift})")),
        ]
    })
}
