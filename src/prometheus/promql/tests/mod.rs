use proptest::prelude::*;

use super::*;
use generate::vector;

mod generate;

const SIXTY_SECONDS: Span = Span::from_seconds(60);

fn parsed(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn refusal(text: &str) -> String {
    match Query::parse(text) {
        Ok(query) => panic!("{text} was read as {query}"),
        Err(fault) => fault.to_string(),
    }
}

fn confined(text: &str, value: &str) -> Result<String, String> {
    let mut query = Query::parse(text).map_err(|fault| fault.to_string())?;
    query.inject_matcher("namespace", value).map_err(|fault| fault.to_string())?;
    Ok(query.to_string())
}

/// Every selector in `text`, as the parser itself reads it.
fn selectors_in(text: &str) -> Vec<VectorSelector> {
    let mut selectors = Vec::new();
    let mut expr = promql_parser::parser::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    visit(&mut expr, &mut |expr| match expr {
        Expr::VectorSelector(selector) => selectors.push(selector.clone()),
        Expr::MatrixSelector(matrix) => selectors.push(matrix.vs.clone()),
        _ => {}
    });
    selectors
}

fn all_confined_to(text: &str, value: &str) -> bool {
    let matcher = Matcher::new(MatchOp::Equal, "namespace", value);
    let walked = selectors_in(text).iter().all(|selector| {
        selector.matchers.or_matchers.is_empty() && selector.matchers.matchers.contains(&matcher)
    });
    // Counted a second way, for the walk above is the one under test.
    let tree = format!("{:?}", promql_parser::parser::parse(text));
    walked && tree.matches(&format!("{matcher:?}")).count() >= tree.matches("VectorSelector { name").count()
}

#[test]
fn a_query_is_written_as_it_was_read() {
    for (text, written) in [
        ("up", "up"),
        ("up{}", "up"),
        ("{__name__=\"up\"}", "{__name__=\"up\"}"),
        ("{\"a.b\", job='x'}", "{__name__=\"a.b\",job=\"x\"}"),
        ("up{\"a.b\"!~`x\\.y`}", "up{\"a.b\"!~\"x\\\\.y\"}"),
        ("sum(rate(x_total[1m30s])) by (job)", "sum by (job) (rate(x_total[90s]))"),
        ("sum by () (x)", "sum by () (x)"),
        ("SUM without(a,b) (x)", "sum without (a, b) (x)"),
        ("topk(3, x)", "topk(3, x)"),
        ("quantile(scalar(q), x)", "quantile(scalar(q), x)"),
        ("count_values(\"v\", x)", "count_values(\"v\", x)"),
        ("a*on(x)group_left(y,z)b", "a * on (x) group_left (y, z) b"),
        ("a*ignoring(x)group_right b", "a * ignoring (x) group_right () b"),
        ("a > bool 1", "a > bool 1"),
        ("a == bool on(x) b", "a == bool on (x) b"),
        ("a - (b - c)", "a - (b - c)"),
        ("-a ^ 2", "-a ^ 2"),
        ("(-a) ^ -2", "(-a) ^ -2"),
        ("a or b and c unless d", "a or b and c unless d"),
        ("a atan2 b % c", "a atan2 b % c"),
        ("x offset 5m", "x offset 5m"),
        ("x offset -1h", "x offset -1h"),
        ("x offset 0", "x"),
        ("x @ 1.5 offset 1w", "x @ 1.500 offset 1w"),
        ("x @ -1.5", "x @ -1.500"),
        ("x @ start()", "x @ start()"),
        ("rate(x[5m] @ end())", "rate(x[5m] @ end())"),
        (
            "max_over_time(rate(x[1m])[1h:30s] @ 7 offset 500ms)",
            "max_over_time(rate(x[1m])[1h:30s] @ 7.000 offset 500ms)",
        ),
        ("max_over_time(x[1d:])", "max_over_time(x[1d:])"),
        ("vector(1e3) + 0x10 + .5 + Inf", "vector(1000) + 16 + 0.5 + Inf"),
        ("label_replace(x, 'a', '$1', 'b', '(.*)')", "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")"),
        ("x # a comment\n + y", "x + y"),
        ("x{a=\"tab\\tquote\\\"back\\\\slash\"}", "x{a=\"tab\\u0009quote\\\"back\\\\slash\"}"),
        ("x{a=\"Zürich \u{1f600}\"}", "x{a=\"Z\\u00fcrich \\U0001f600\"}"),
    ] {
        let query = parsed(text);
        assert_eq!(query.to_string(), written);
        assert_eq!(parsed(written).to_string(), written, "and read again");
    }
}

#[test]
fn the_age_is_asked_of_the_plain_selectors_behind_a_query() {
    let ask = |text: &str| AgeQuery::Ask(text.into());
    for (query, age) in [
        ("time()", AgeQuery::NotSampled),
        ("vector(3) + scalar(vector(2))", AgeQuery::NotSampled),
        ("up", ask("time() - max(timestamp(up))")),
        (
            "sum(rate(x_total{svc=\"a\"}[5m] offset 1h)) or vector(0)",
            ask("time() - max(timestamp(x_total{svc=\"a\"}))"),
        ),
        ("max_over_time(x[1h:1m] @ 5) + x offset 1d", ask("time() - max(timestamp(x))")),
        (
            "sum(a) / sum(b) > scalar(c)",
            ask("max(label_replace(time() - max(timestamp(a)), \"selector\", \"0\", \"\", \"\") \
                 or label_replace(time() - max(timestamp(b)), \"selector\", \"1\", \"\", \"\") \
                 or label_replace(time() - max(timestamp(c)), \"selector\", \"2\", \"\", \"\"))"),
        ),
        (
            "topk(scalar(k), x)",
            ask("max(label_replace(time() - max(timestamp(k)), \"selector\", \"0\", \"\", \"\") \
                 or label_replace(time() - max(timestamp(x)), \"selector\", \"1\", \"\", \"\"))"),
        ),
    ] {
        assert_eq!(parsed(query).age_query(), age, "{query}");
        if let AgeQuery::Ask(age) = age {
            parsed(&age);
        }
    }
}

#[test]
fn coverage_counts_pods_or_else_instances() {
    assert_eq!(parsed("time()").coverage_query(SIXTY_SECONDS), None);
    let coverage = parsed("sum(rate(x[5m])) / sum(y)").coverage_query(Span::from_millis(1500)).unwrap();
    assert_eq!(
        coverage,
        "count(count by (pod) (timestamp(x{pod!=\"\"}) >= time() - 1.5) or count by (pod) (timestamp(y{pod!=\"\"}) >= time() - 1.5)) \
         or count(count by (instance) (timestamp(x{instance!=\"\"}) >= time() - 1.5) \
         or count by (instance) (timestamp(y{instance!=\"\"}) >= time() - 1.5))"
    );
    parsed(&coverage);
}

#[test]
fn a_confined_query_carries_the_matcher_on_every_selector() {
    for (text, written) in [
        ("up", "up{namespace=\"shop\"}"),
        ("up{namespace=\"other\"}", "up{namespace=\"other\",namespace=\"shop\"}"),
        ("rate(x{a=\"b\"}[5m])", "rate(x{a=\"b\",namespace=\"shop\"}[5m])"),
        ("topk(scalar(k), x)", "topk(scalar(k{namespace=\"shop\"}), x{namespace=\"shop\"})"),
        (
            "max_over_time((a or b)[5m:])",
            "max_over_time((a{namespace=\"shop\"} or b{namespace=\"shop\"})[5m:])",
        ),
        ("absent(x) * -y", "absent(x{namespace=\"shop\"}) * -y{namespace=\"shop\"}"),
        ("time()", "time()"),
    ] {
        assert_eq!(confined(text, "shop").as_deref(), Ok(written));
    }
    assert_eq!(confined("up", "a\"} or {x=\"").unwrap(), "up{namespace=\"a\\\"} or {x=\\\"\"}");
}

#[test]
fn thirty_attempts_to_escape_a_namespace_fail() {
    const READ_NONETHELESS: [&str; 24] = [
        "up or secret",
        "up or {__name__=~\".+\"}",
        "{__name__=~\".+\"}",
        "{__name__!=\"\", namespace!=\"shop\"}",
        "{namespace=~\".*\", job=~\".+\"}",
        "up{namespace=\"victim\"}",
        "up{namespace=\"victim\", namespace=\"shop\"}",
        "up{namespace!~\"shop\"}",
        "sum(up) by (namespace) or sum(secret) by (namespace)",
        "max_over_time(secret[1h:1m])",
        "max_over_time((up or secret{namespace=\"victim\"})[5m:1m] offset 1m)",
        "topk(scalar(secret), up)",
        "quantile(scalar(sum(secret)), up)",
        "count_values(\"namespace\", secret)",
        "label_replace(secret, \"namespace\", \"shop\", \"\", \"\")",
        "up * on () group_left (namespace) secret",
        "up # } or secret{\n",
        "# \"\nsecret # \"",
        "up{a=\"#\"} or secret{b=\"#\"}",
        "up{a=\"} or secret{b=\\\"\"}",
        "up{a=`} or secret{b=\"`}",
        "up{a='\\'} or secret{b=\\''}",
        "{\"up} or secret{\"}",
        "secret @ 0 offset -1d unless up{namespace=\"shop\",}",
    ];
    const REFUSED: [&str; 8] = [
        "up{namespace=\"shop\"} or secret{namespace=\"shop\" or job=\"x\"}",
        "{job=\"a\" or namespace=\"victim\"}",
        "info(up)",
        "info(up, {__name__=\"secret\"})",
        "up} or secret{",
        "up\u{0} or secret",
        "up{a=\"line\nbreak\"} or secret",
        "up{a=\"\\ud800\"}",
    ];
    for attempt in READ_NONETHELESS {
        let text = confined(attempt, "shop").unwrap_or_else(|fault| panic!("{attempt}: {fault}"));
        assert!(all_confined_to(&text, "shop"), "{attempt} became {text}");
        let expected = parsed(attempt).selectors().len();
        assert!(
            parsed(&text).selectors().len() >= expected && expected > 0,
            "{attempt} lost selectors: {text}"
        );
        assert!(!text.contains('#') || text.contains("\"#\""), "comments stay behind: {text}");
    }
    for attempt in REFUSED {
        assert!(confined(attempt, "shop").is_err(), "{attempt} became {:?}", confined(attempt, "shop"));
    }
}

#[test]
fn a_refusal_says_what_is_wrong_and_where() {
    for (text, sentence) in [
        ("foo bar", "invalid promql query: unexpected `bar`, line 1, column 5"),
        ("sum by (a, (x)", "unclosed left parenthesis"),
        ("sum by (a, (x))", "invalid promql query: unexpected `(`, line 1, column 12"),
        ("a +\n  on(b) group_left * c", "invalid promql query: unexpected `*`, line 2, column 20"),
        ("sum(x) by (a) by (b)", "invalid promql query: unexpected `by`, line 1, column 15"),
        ("foo{a=\"b\" c=\"d\"}", "invalid promql query: unexpected `c`, line 1, column 11"),
        ("x{`a`=`b`} # c\ny", "invalid promql query: unexpected `y`, line 2, column 1"),
        ("foo +", "invalid promql query: it ends before it is complete"),
        ("foo[5m", "unexpected end of input inside brackets"),
        ("rate(foo)", "expected type matrix in call to function 'rate', got vector, line 1, column 1"),
        ("1 + nope(foo)", "unknown function with name 'nope', line 1, column 5"),
        ("1 == 1", "comparisons between scalars must use BOOL modifier"),
        ("", "no expression found in input"),
        ("foo[5m]", RETURNS_A_RANGE),
        ("foo[5m:1m]", RETURNS_A_RANGE),
        ("\"text\"", RETURNS_A_STRING),
        ("foo offset inf", TOO_LONG),
        ("foo[1e99]", TOO_LONG),
        ("foo offset - 1e99", TOO_LONG),
        ("max_over_time(foo[1m:9999999999])", TOO_LONG),
        ("rate(foo[0])", NO_RANGE),
        ("max_over_time(foo[00:1m] offset 1m)", NO_RANGE),
        ("max_over_time(foo[1m:0])", NO_RANGE),
        ("rate(foo[0.0001])", "a duration in the query is not a whole number of milliseconds"),
    ] {
        assert_eq!(refusal(text), sentence, "{text}");
    }
    assert!(refusal("{a=\"b\" or c=\"d\"}").contains("no `or` between label matchers"));
    assert!(refusal(&"x".repeat(17_000)).contains("17000 bytes long"));
    assert!(refusal(&"-".repeat(1001)).contains("more than 1000 words and signs"));
}

#[test]
fn the_deepest_queries_fit_a_small_stack() {
    for deep in [
        "-".repeat(998) + "x",
        "(".repeat(499) + "x" + &")".repeat(499),
        "x+".repeat(499) + "x",
        "x^".repeat(499) + "x",
        "1+".repeat(499) + "1",
        "sum(".repeat(333) + "x" + &")".repeat(333),
    ] {
        let work = move || {
            let mut query = parsed(&deep);
            query.inject_matcher("namespace", "shop").unwrap();
            (query.to_string(), query.age_query(), query.coverage_query(SIXTY_SECONDS))
        };
        std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(work).unwrap().join().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_reads_as_the_same_query(text in vector()) {
        let query = parsed(&text);
        let written = query.to_string();
        let again = parsed(&written);
        prop_assert_eq!(&query.expr, &again.expr, "{} became {}", text, written);
        prop_assert_eq!(&written, &again.to_string());
        prop_assert_eq!(query.verified_text(), Ok(written));
    }

    #[test]
    fn no_query_and_no_namespace_leaves_a_selector_unconfined(text in vector(), namespace in any::<String>()) {
        let written = confined(&text, &namespace).unwrap();
        prop_assert!(all_confined_to(&written, &namespace), "{} became {}", text, written);
        prop_assert_eq!(selectors_in(&written).len(), count_selectors(&text), "{} became {}", text, written);
    }

    #[test]
    fn questions_about_a_confined_query_are_confined_too(text in vector()) {
        let mut query = parsed(&text);
        query.inject_matcher("namespace", "shop").unwrap();
        let age = match query.age_query() {
            AgeQuery::Ask(age) => Some(age),
            AgeQuery::NotSampled => None,
        };
        for question in age.into_iter().chain(query.coverage_query(SIXTY_SECONDS)) {
            prop_assert!(all_confined_to(&question, "shop"), "{} gave {}", text, question);
            parsed(&question);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>(), code in "[a-z0-9(){}\\[\\]\"'`#\\\\ ,=~!@:+*-]{0,40}") {
        for text in [text, code] {
            if let Ok(confined) = confined(&text, "shop") {
                prop_assert!(all_confined_to(&confined, "shop"), "{} became {}", text, confined);
            }
        }
    }
}

fn count_selectors(text: &str) -> usize {
    let mut count = 0;
    visit(&mut parsed(text).expr, &mut |expr| {
        count += usize::from(matches!(expr, Expr::VectorSelector(_) | Expr::MatrixSelector(_)));
    });
    count
}
