//! The commands that need no cluster, as a person runs them: what they print, what they refuse, and in which words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const POLICY: &str = "examples/checkout.yaml";
const SPIKE: &str = "spike:base=1000,peak=4500,at=20m,for=15m,length=1h,noise=5%";

fn plimsoll(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(arguments).output().unwrap()
}

#[track_caller]
fn prints(arguments: &[&str]) -> String {
    let output = plimsoll(arguments);
    let fault = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {fault}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refuses(arguments: &[&str], words: &str) {
    let output = plimsoll(arguments);
    let fault = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?} was taken");
    assert!(fault.contains(words), "{arguments:?}: {fault}");
}

#[test]
fn a_simulation_is_told_as_a_table_and_as_json() {
    let base = [
        "simulate",
        POLICY,
        "--load",
        SPIKE,
        "--compare",
        "hpa",
        "--compare",
        "oracle",
        "--compare",
        "static=50",
    ];
    let table = prints(&base);
    for words in [
        "rps reads the load, in requests per second: the mean of 60 s, 15 s late",
        "unserved, % of requests",
        "cost over oracle",
        "peak connections",
        "static 50",
        "ms a day and course",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let json = prints(&[&base[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let names: Vec<_> =
        json["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["checkout", "HPA v2", "oracle", "static 50"]);
    let figures = |at: usize| json["runs"][at]["figures"].clone();
    assert!((figures(2)["costOverOracle"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert!(figures(2)["unservedPercent"].as_f64().unwrap() < 1e-9);
    // The policy stays under the database's limit, and the HPA, which knows none, does not.
    assert!(figures(0)["overConnectionLimitSeconds"].as_f64().unwrap() == 0.0);
    assert!(figures(1)["overConnectionLimitSeconds"].as_f64().unwrap() > 0.0);
    assert!(figures(0)["ceilingHits"].as_u64().unwrap() >= 1);
    assert_eq!(
        json,
        serde_json::from_str::<serde_json::Value>(&prints(&[&base[..], &["--json"]].concat())).unwrap()
    );
}

#[test]
fn tuning_shows_the_trade_off_and_what_to_write() {
    let base = ["simulate", POLICY, "--load", "spike:base=800,peak=1800,at=20m,for=10m,length=1h", "--tune"];
    let text = prints(&[&base[..], &["--tolerate", "5"]].concat());
    assert!(text.contains("the cheapest is:") && text.contains(" ←"), "{text}");
    let rows: Vec<Vec<f64>> = text
        .lines()
        .filter(|line| {
            line.contains(" % ") && line.trim_start().starts_with(|first: char| first.is_ascii_digit())
        })
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            // aim, %, target, window, s, hours, missed …
            vec![words[5].parse().unwrap(), words[6].parse().unwrap()]
        })
        .collect();
    assert!(rows.len() >= 2, "{text}");
    assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][1] > pair[1][1]), "{text}");
    refuses(&[&base[..], &["--json"]].concat(), "cannot be used with");
}

#[test]
fn what_cannot_be_simulated_is_refused_with_what_to_write() {
    for (arguments, words) in [
        (&["nowhere.yaml", "--load", SPIKE][..], "there is no file nowhere.yaml"),
        (&["examples/demo/deployment.yaml", "--load", SPIKE], "there is no ScalingPolicy, only Deployment"),
        (&[POLICY, "--load", "nowhere.csv"], "there is no file nowhere.csv"),
        (&[POLICY, "--load", "trace:mars"], "write one of nasa, smooth"),
        (&[POLICY, "--load", "saw:from=1"], "there is no load \"saw\": write one of"),
        (&[POLICY, "--load", "step:from=1"], "load step needs to="),
        (&[POLICY, "--load", SPIKE, "--compare", "kpa"], "write hpa, hpa-cpu=80, oracle, static=N"),
        (&[POLICY, "--load", SPIKE, "--compare", "static=none"], "\"none\" is not a count of replicas"),
        (
            &[POLICY, "--load", SPIKE, "--signal", "queue=load"],
            "the policy has no metric \"queue\": it has rps, p99",
        ),
        (&[POLICY, "--load", SPIKE, "--signal", "rps=pears"], "\"pears\" is not a quantity"),
        (&[POLICY, "--load", SPIKE, "--start-up", "soon"], "\"soon\" is not a time"),
        (
            &[POLICY, "--load", SPIKE, "--start-up", "60s", "--start-up-p90", "30s"],
            "--start-up-p90 is below --start-up",
        ),
        (&[POLICY, "--load", SPIKE, "--capacity", "0"], "--capacity must be above 0"),
        (&[POLICY, "--load", SPIKE, "--usl", "2,0"], "write ALPHA,BETA"),
        (&[POLICY, "--load", SPIKE, "--connections", "5"], "--connections-per-pod"),
        (&[POLICY, "--load", SPIKE, "--metric-window", "0s"], "must be longer than 0s"),
        (&[POLICY, "--load", "constant:rate=0", "--scale-to-peak", "5"], "has no peak"),
        (&["examples/shared-database.yaml", "--load", SPIKE], "--budget orders-db=CONNECTIONS"),
    ] {
        refuses(&[&["simulate"], arguments].concat(), words);
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["simulate", POLICY, "--load", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"t_seconds,requests_per_second\n0,10\n60,ten\n").unwrap();
    let fault = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    assert!(fault.contains("-: line 3: \"60,ten\" is not a row"), "{fault}");
}

#[test]
fn help_tells_what_each_command_takes() {
    for (command, words) in [
        (
            "simulate",
            &["trace:NAME", "business", "spike:base", "--compare", "hpa-cpu=80", "What a metric reads"][..],
        ),
        ("plan", &["--peak", "--survive-zones", "Example"]),
        ("lint", &["SARIF", "--fail-on", "exit code is 1"]),
        ("fit", &["replicas,throughput", "--svg"]),
        ("migrate", &["KEDA", "DryRun"]),
    ] {
        let help = prints(&[command, "--help"]);
        for word in words {
            assert!(help.contains(word), "{command}: {word}");
        }
    }
}

#[test]
fn a_plan_shows_its_working_and_fails_where_it_does_not_fit() {
    let seed = [
        "plan",
        "--peak",
        "4000",
        "--surge",
        "3",
        "--per-replica",
        "250",
        "--measured-at",
        "70",
        "--utilization",
        "70",
        "--failures",
        "3",
    ];
    let text = prints(&seed);
    assert!(text.contains("⌈12000 / 250⌉ = 48") && text.contains("replicas at the peak: 51"), "{text}");
    refuses(
        &[&seed[..], &["--max-connections", "500", "--connections-per-pod", "20"]].concat(),
        "does not fit under the database's connections",
    );
    refuses(&["plan", "--peak", "0", "--per-replica", "5"], "the peak must be above 0");
    refuses(
        &["plan", "--peak", "9", "--per-replica", "5", "--max-surge", "x"],
        "write a number of pods or a percentage",
    );
}

#[test]
fn lint_fails_on_errors_and_speaks_sarif() {
    let text = prints(&["lint", POLICY]);
    assert!(text.contains("max-not-reachable"), "{text}");
    let sarif: serde_json::Value =
        serde_json::from_str(&prints(&["lint", "--format", "sarif", POLICY])).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    refuses(&["lint", "--fail-on", "note", POLICY], "1 finding to mend");
    refuses(&["lint", "examples/demo/deployment.yaml", "nowhere.yaml"], "there is no file nowhere.yaml");
}

#[test]
fn a_fit_and_a_migration_read_files_and_refuse_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let table =
        file("sdm.csv", "n,x\n1,64.9\n18,995.9\n36,1652.4\n72,1853.2\n108,1828.9\n144,1775\n216,1702.2\n");
    let plot = folder.path().join("fit.svg");
    let text = prints(&["fit", &table, "--svg", plot.to_str().unwrap()]);
    assert!(text.contains("96.52"), "{text}");
    assert!(std::fs::read_to_string(&plot).unwrap().contains("N* = 96.5"));
    refuses(&["fit", &file("few.csv", "1,2\n2,3\n")], "measure at least 4");

    let hpa = file(
        "hpa.yaml",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {maxReplicas: 20, scaleTargetRef: {kind: Deployment, name: web}}\n",
    );
    let policy = file("policy.yaml", &prints(&["migrate", &hpa]));
    let simulated = prints(&["simulate", &policy, "--load", SPIKE, "--capacity", "250", "--compare", "hpa"]);
    assert!(simulated.contains("cpu reads the busy share of the Ready pods"), "{simulated}");
    prints(&["lint", &policy]);
    refuses(&["migrate", POLICY], "neither a HorizontalPodAutoscaler nor a ScaledObject, only ScalingPolicy");
}

fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome", "chrome-headless-shell"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|path| path.is_file())
}

#[test]
fn a_report_is_one_file_that_a_browser_reads() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let svg = folder.path().join("report.svg");
    let json = prints(&[
        "simulate",
        POLICY,
        "--load",
        SPIKE,
        "--compare",
        "hpa",
        "--compare",
        "oracle",
        "--latency-slo",
        "400ms",
        "--json",
        "--report",
        report.to_str().unwrap(),
        "--svg",
        svg.to_str().unwrap(),
    ]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let html = std::fs::read_to_string(&report).unwrap();
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        let found = html.match_indices(outside).next();
        assert!(found.is_none(), "{outside}: {found:?}");
    }
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg xmlns"));
    let Some(browser) = browser() else {
        eprintln!("skipped: no Chromium or Chrome in PATH, so the report was not opened");
        return;
    };
    let profile = folder.path().join("profile");
    let shot = folder.path().join("shot.png");
    let open = |more: &[String]| {
        let child = Command::new(&browser)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--window-size=1280,2400",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(more)
            .arg(format!("file://{}", report.display()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&child.stdout).into_owned()
    };
    let page = open(&["--dump-dom".to_owned()]);
    // The script has run: it says how many points the pointer can show.
    let points: u32 =
        page.split("data-points=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert_eq!(points, 240, "an hour of evaluations every 15 s");
    let unserved = json["runs"][0]["figures"]["unservedPercent"].as_f64().unwrap();
    let card = page.split("data-card=\"unserved\">").nth(1).unwrap().split(' ').next().unwrap();
    assert!((card.parse::<f64>().unwrap() - unserved).abs() < 0.01, "{card} {unserved}");
    for id in ["load", "replicas", "signal", "connections", "latency", "course-2"] {
        assert!(page.contains(&format!("<figure id=\"{id}\"")), "{id}");
    }
    assert!(page.contains("aria-label=\"00:20:"), "events are explained");
    assert!(page.contains("held by database connections of orders-db"));
    open(&[format!("--screenshot={}", shot.display())]);
    let size = std::fs::metadata(&shot).map_or(0, |file| file.len());
    assert!(size > 50_000, "a picture of {size} bytes shows nothing");
}
