//! `plimsoll top` on a terminal: what is seen on it, how it follows, and that it is given back as it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use e2e::apiserver::{ApiServer, Listening, Settings};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// The terminal must not become the test's own.
const O_NOCTTY: i32 = 0o400;

/// What a terminal of so many columns and rows shows. It knows what the program writes, and nothing else.
struct Screen {
    columns: usize,
    rows: usize,
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// Text that was wider or longer than there is room.
    spilled: bool,
    alternate: bool,
    cursor: bool,
    pending: String,
}

impl Screen {
    fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            lines: vec![Vec::new(); rows],
            row: 0,
            column: 0,
            spilled: false,
            alternate: false,
            cursor: true,
            pending: String::new(),
        }
    }

    fn resize(&mut self, columns: usize, rows: usize) {
        (self.columns, self.rows, self.spilled) = (columns, rows, false);
        self.lines.resize(rows, Vec::new());
        self.lines.iter_mut().for_each(|line| line.truncate(columns));
    }

    fn take(&mut self, bytes: &[u8]) {
        self.pending.push_str(&String::from_utf8_lossy(bytes));
        let text = std::mem::take(&mut self.pending);
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\x1b' => {
                    let rest: String = letters.clone().collect();
                    // It ends with its first letter, after the bracket.
                    let Some(end) = rest.chars().skip(1).position(|c| c.is_ascii_alphabetic()) else {
                        self.pending = format!("\x1b{rest}");
                        return;
                    };
                    let sequence: String = letters.by_ref().take(end + 2).collect();
                    self.control(&sequence);
                }
                '\n' if self.row + 1 < self.rows => self.row += 1,
                '\n' => self.spilled = true,
                '\r' => self.column = 0,
                letter if self.column < self.columns => {
                    let (row, column) = (self.row, self.column);
                    let line = &mut self.lines[row];
                    line.resize(line.len().max(column + 1), ' ');
                    line[column] = letter;
                    self.column += 1;
                }
                _ => self.spilled = true,
            }
        }
    }

    fn control(&mut self, sequence: &str) {
        match sequence {
            "[?1049h" => self.alternate = true,
            "[?1049l" => self.alternate = false,
            "[?25h" => self.cursor = true,
            "[?25l" => self.cursor = false,
            "[H" => (self.row, self.column) = (0, 0),
            "[K" => self.lines[self.row].truncate(self.column),
            "[J" => {
                self.lines[self.row].truncate(self.column);
                self.lines[self.row + 1..].iter_mut().for_each(Vec::clear);
            }
            "[2J" => self.lines.iter_mut().for_each(Vec::clear),
            colour if colour.ends_with('m') => {}
            other => panic!("this terminal knows no {other:?}"),
        }
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| line.iter().collect::<String>() + "\n").collect()
    }
}

/// A program on a terminal of its own.
struct Session {
    child: Child,
    keyboard: File,
    terminal: File,
    screen: Arc<Mutex<Screen>>,
    modes: LocalModes,
}

impl Session {
    /// None where no terminal can be given to it, which is said.
    fn start(cluster: &Cluster, arguments: &[&str], columns: u16, rows: u16) -> Option<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).custom_flags(O_NOCTTY).open(name).unwrap();
        let keyboard = File::from(master);
        tcsetwinsize(&keyboard, size(columns, rows)).unwrap();
        let modes = tcgetattr(&terminal).unwrap().local_modes;
        let end = || terminal.try_clone().unwrap();
        // A session of its own, whose terminal this is: only then is it told of another size.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_operator"), "top"])
            .args(arguments)
            .env("KUBECONFIG", cluster.directory.path().join("kubeconfig"))
            .env("HOME", cluster.directory.path())
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn();
        let Ok(child) = child else {
            eprintln!("SKIPPED: there is no setsid in PATH to give the program a terminal with");
            return None;
        };
        let screen = Arc::new(Mutex::new(Screen::new(columns.into(), rows.into())));
        let (shown, mut drawn) = (Arc::clone(&screen), keyboard.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut part = vec![0; 65_536];
            // A terminal that nobody draws on any more ends in an error.
            while let Ok(read @ 1..) = drawn.read(&mut part) {
                shown.lock().unwrap().take(&part[..read]);
            }
        });
        Some(Self { child, keyboard, terminal, screen, modes })
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().resize(columns.into(), rows.into());
        tcsetwinsize(&self.keyboard, size(columns, rows)).unwrap();
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as it should be, and returns what it then shows.
    fn sees(&self, what: &str, right: impl Fn(&Screen) -> bool) -> String {
        let begun = Instant::now();
        loop {
            {
                let screen = self.screen.lock().unwrap();
                if right(&screen) {
                    println!("{what}:\n{}", screen.text());
                    return screen.text();
                }
                assert!(begun.elapsed() < PATIENCE, "{what} is not seen in\n{}", screen.text());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end, after which the terminal must be as before.
    fn ends(mut self) -> ExitStatus {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        self.sees("the terminal given back", |screen| !screen.alternate && screen.cursor);
        assert_eq!(tcgetattr(&self.terminal).unwrap().local_modes, self.modes, "keys come as before");
        status
    }
}

const fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

struct Cluster {
    server: ApiServer,
    listening: Option<Listening>,
    directory: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let server = ApiServer::new(Settings::default());
        server.add_namespace("shop");
        for definition in plimsoll::api::definitions() {
            let definition = serde_json::to_value(definition).unwrap();
            let kinds = server.collection("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
            kinds.create("", definition).unwrap();
        }
        let listening = server.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("kubeconfig"), listening.kubeconfig()).unwrap();
        Self { server, listening: Some(listening), directory }
    }

    fn create(&self, name: &str) {
        let policy = json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": name},
            "spec": {"scaleTargetRef": {"name": name}, "maxReplicas": 40,
                "metrics": [{"name": "rps", "prometheus": {"query": "up"}, "target": {"type": "AverageValue", "averageValue": "100"}}]},
        });
        let policies = self.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").unwrap();
        policies.create("shop", policy).unwrap();
    }

    fn say(&self, name: &str, replicas: u32, unmet: u32) {
        let policies = self.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies").unwrap();
        let mut policy: Value = policies.get("shop", name).unwrap();
        policy["status"] = json!({"asOf": "2026-11-22T08:00:00Z", "currentReplicas": replicas, "desiredReplicas": replicas,
            "effectiveMaxReplicas": 40, "unmetReplicas": unmet, "targets": "rps 280/100 each, and a name that goes on and on",
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-11-22T08:00:00Z"}]});
        policies.update_status("shop", policy).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_follows_what_happens_and_the_terminal_is_given_back() {
    let mut cluster = Cluster::start().await;
    cluster.create("checkout");
    cluster.say("checkout", 3, 0);
    let Some(mut session) = Session::start(&cluster, &["-A", "--interval", "500ms"], 160, 24) else { return };
    let first = session.sees("the first table", |screen| screen.text().contains("checkout"));
    assert!(first.starts_with("plimsoll top, ") && first.contains("every 0.5 s; q ends it"), "{first}");
    assert!(first.lines().nth(1).unwrap().starts_with("NAMESPACE  NAME"), "{first}");
    {
        let screen = session.screen.lock().unwrap();
        assert!(screen.alternate && !screen.cursor && !screen.spilled);
    }
    cluster.say("checkout", 17, 2);
    session.sees("a new count", |screen| screen.text().contains(" 17 "));

    session.resize(60, 6);
    let narrow = |screen: &Screen| {
        let text = screen.text();
        text.lines().all(|line| line.chars().count() <= 60) && text.contains("checkout") && !screen.spilled
    };
    session.sees("a narrow terminal", narrow);
    for name in ["basket", "catalog", "mail", "orders", "search"] {
        cluster.create(name);
    }
    let full = session.sees("a low terminal", |screen| screen.text().contains("more: name a namespace"));
    assert!(full.contains("… and 3 more"), "{full}");
    session.resize(160, 24);
    session.sees("room again", |screen| {
        screen.text().contains("search") && screen.text().contains("goes on and on") && !screen.spilled
    });

    // The last table stays in sight with what went wrong.
    cluster.listening = None;
    let lost =
        session.sees("a server that is gone", |screen| screen.text().contains("the last look failed: "));
    assert!(lost.contains("checkout"), "{lost}");
    session.press("xz\x1a");
    session.press("q");
    assert!(session.ends().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_c_and_a_signal_end_it_at_once() {
    let cluster = Cluster::start().await;
    cluster.create("checkout");
    for how in ["\x03", "\x04", "signal"] {
        let Some(mut session) = Session::start(&cluster, &["-A", "--interval", "1h"], 120, 10) else {
            return;
        };
        session.sees("the table", |screen| screen.text().contains("not evaluated yet"));
        let begun = Instant::now();
        if how == "signal" {
            // setsid waits for the one that leads the terminal's session.
            let leader = rustix::termios::tcgetsid(&session.keyboard).unwrap();
            rustix::process::kill_process(leader, rustix::process::Signal::TERM).unwrap();
        } else {
            session.press(how);
        }
        assert!(session.ends().success(), "{how:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{how:?} waits for nothing");
    }
}
