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
        (
            &["examples/shared-database.yaml", "--load", SPIKE, "--budget", "orders=300"],
            "--budget orders: the policy draws on orders-db",
        ),
        (
            &[POLICY, "--load", SPIKE, "--budget", "orders-db=300"],
            "the policy has no ceilings.connections with a budgetRef",
        ),
        (&[POLICY, "--load", ""], "the load is empty: write a file, trace:NAME, or one of"),
        (&[POLICY, "--load", "constant:rate=1e300"], "rate=1e300 is not a rate"),
        (&[POLICY, "--load", "constant:rate=-1"], "rate=-1 is not a rate"),
        (&[POLICY, "--load", SPIKE, "--capacity", "-5"], "--capacity must be above 0"),
        (&[POLICY, "--load", SPIKE, "--capacity", "1e-300"], "--capacity must be above 0"),
        (&[POLICY, "--load", SPIKE, "--capacity", "nan"], "\"nan\" is not a number"),
        (&[POLICY, "--load", SPIKE, "--scale-to-peak", "0"], "0 is not in 1..=100000"),
        (&[POLICY, "--load", SPIKE, "--initial-replicas", "4000000000"], "4000000000 is not in 0..=100000"),
        (&[POLICY, "--load", SPIKE, "--compare", "static=4000000000"], "is not a count of replicas"),
        (&[POLICY, "--load", SPIKE, "--tune", "--tolerate", "-1"], "\"-1\" is not a percentage"),
        (&[POLICY, "--load", SPIKE, "--tune", "--tolerate", "nan"], "is not a percentage"),
        (&[POLICY, "--load", SPIKE, "--days", "odd"], "this one ends within its first"),
        (&[POLICY, "--load", SPIKE, "--latency-slo", "0s"], "--latency-slo must be longer than 0s"),
        (
            &[POLICY, "--load", SPIKE, "--report", "/nowhere/report.html"],
            "/nowhere/report.html cannot be written",
        ),
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
fn what_spreadsheets_and_editors_make_of_files_is_read_or_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let load = file("load.csv", "\u{feff}t_seconds,requests_per_second\r\n0,90\r\n60,450\r\n");
    assert!(prints(&["simulate", POLICY, "--load", &load]).contains("peak 450.0 requests per second"));
    let table = file("fit.csv", "\u{feff}n,x\n1,10\n2,19\n3,26\n4,31\n6,38\n8,40\n");
    assert!(prints(&["fit", &table]).starts_with("6 measurements"));
    refuses(
        &["fit", &file("huge.csv", "1,2\n2,1e300\n3,4\n4,5\n")],
        "measurement 2: 1e300 is not a throughput",
    );
    refuses(&["fit", &file("same.csv", "1,2\n1,3\n1,4\n1,5\n")], "are of 1 distinct size: three");
    let broken = file("broken.yaml", "kind: [ScalingPolicy\n");
    refuses(&["simulate", &broken, "--load", SPIKE], "it is no YAML: ");
    refuses(
        &["migrate", &file("empty.yaml", "# nothing\n")],
        "the file is empty: write a HorizontalPodAutoscaler",
    );
    // More pods than can be simulated one by one.
    let large =
        std::fs::read_to_string(POLICY).unwrap().replace("maxReplicas: 60", "maxReplicas: 2000000000");
    refuses(
        &["simulate", &file("large.yaml", &large), "--load", "constant:rate=1e11"],
        "and up to 100000 can be simulated: is --capacity right",
    );
}

#[test]
fn a_migration_is_replayed_beside_what_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let hpa = folder.path().join("hpa.yaml");
    std::fs::write(
        &hpa,
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web}\nspec: {minReplicas: 2, maxReplicas: 40, scaleTargetRef: {kind: Deployment, name: web}}\n",
    )
    .unwrap();
    let hpa = hpa.to_str().unwrap();
    let report = folder.path().join("web.html");
    let load = ["--load", "spike:base=400,peak=2000,at=10m,for=15m,length=1h"];
    let shown = prints(
        &[&["migrate", hpa, "--capacity", "100", "--report", report.to_str().unwrap()], &load[..]].concat(),
    );
    assert!(shown.starts_with("# Load spike:base=400"), "{shown}");
    let row = |name: &str| -> Vec<String> {
        let line = shown.lines().find(|line| line.starts_with(&format!("# {name}"))).unwrap();
        line.rsplit("  ").take(2).map(|cell| cell.trim().to_owned()).collect()
    };
    // HPA removes everything at once when its window is over; a policy of ours walks.
    assert_ne!(row("scale actions")[0], row("scale actions")[1], "{shown}");
    assert!(shown.contains("web  as it was"), "{shown}");
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, &shown).unwrap();
    prints(&["simulate", policy.to_str().unwrap(), "--capacity", "100", load[0], load[1]]);
    assert!(std::fs::read_to_string(&report).unwrap().contains("as it was"));
    refuses(&[&["migrate", hpa], &load[..]].concat(), "it cannot be replayed: no metric of the policy tells");
    refuses(&["migrate", hpa, "--capacity", "100", "--load", "trace:mars"], "there is no trace \"mars\"");
    refuses(&["migrate", hpa, "--load", "trace:nasa", "--scale-to-peak", "0"], "0 is not in 1..=100000");
    refuses(&["migrate", hpa, "--capacity", "5"], "--load");
    refuses(
        &["migrate", hpa, hpa, "--report", "x.html", load[0], load[1]],
        "--report takes one object, and there are 2",
    );
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
        ("fit", &["replicas,throughput", "--svg", "--prometheus", "--utilization", "now-7d", "Example"]),
        ("migrate", &["KEDA", "DryRun", "--load", "Example"]),
        ("top", &["q or Ctrl-C ends it", "--interval", "Example"]),
        ("explain", &["--set", "Example"]),
    ] {
        // Wherever its lines end.
        let help = prints(&[command, "--help"]).split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(help.contains(word), "{command}: {word}");
        }
    }
}

#[test]
fn help_fits_a_terminal_and_its_examples_can_be_copied_from_it() {
    for command in [
        "run",
        "check",
        "crd",
        "explain",
        "top",
        "simulate",
        "plan",
        "lint",
        "fit",
        "migrate",
        "replay",
        "completion",
    ] {
        let help = |columns: &str| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
            let output = program.args([command, "--help"]).env("COLUMNS", columns).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let (narrow, wide) = (help("80"), help("200"));
        for (text, most) in [(&narrow, 80), (&wide, 100)] {
            let longest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(longest.chars().count() <= most, "{command}: {longest}");
        }
        // A line that is broken for a narrow terminal is no command any more.
        let examples = |help: &str| -> Vec<String> {
            let examples = help.rsplit_once("Example").map_or("", |(_, examples)| examples);
            examples.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect()
        };
        assert_eq!(examples(&narrow), examples(&wide), "{command}");
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
    for (arguments, words) in [
        (&["--peak", "-4", "--per-replica", "5"][..], "the peak must be above 0"),
        (&["--peak", "many", "--per-replica", "5"], "\"many\" is not a number: write for example 250"),
        (&["--peak", "1e300", "--per-replica", "5"], "the peak must be above 0"),
        (&["--peak", "1e11", "--per-replica", "1e-3"], "replicas, more than there can be"),
        (&["--peak", "9", "--per-replica", "5", "--surge", "1e300"], "a factor of 1 or more, up to 1000"),
        (&["--peak", "9", "--per-replica", "5", "--failures", "-1"], "-1 is not in 0..=4294967295"),
        (&["--peak", "9", "--per-replica", "5", "--failures", "4000000000"], "more than there can be"),
    ] {
        refuses(&[&["plan"], arguments].concat(), words);
    }
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

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[test]
fn charts_become_a_picture_where_a_converter_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("charts.png");
    let simulated = ["simulate", POLICY, "--load", SPIKE, "--png", picture.to_str().unwrap()];
    let without =
        Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(simulated).env("PATH", "").output().unwrap();
    let fault = String::from_utf8_lossy(&without.stderr);
    assert!(
        !without.status.success() && fault.contains("--png needs a converter: install rsvg-convert"),
        "{fault}"
    );
    if installed("rsvg-convert").or_else(|| installed("resvg")).is_none() {
        eprintln!("skipped: neither rsvg-convert nor resvg is in PATH, so nothing was converted");
        return;
    }
    prints(&simulated);
    let png = std::fs::read(&picture).unwrap();
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!((&png[..4], number(16)), (&b"\x89PNG"[..], 2080), "two pixels for each unit");
    assert!(png.len() > 30_000, "a picture of {} bytes shows nothing", png.len());
    let table = folder.path().join("fit.csv");
    std::fs::write(&table, "1,10\n2,19\n3,26\n4,31\n6,38\n8,40\n").unwrap();
    prints(&["fit", table.to_str().unwrap(), "--png", picture.to_str().unwrap()]);
    let drawn = std::fs::read(&picture).unwrap();
    assert!(drawn.starts_with(b"\x89PNG") && drawn != png);
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
