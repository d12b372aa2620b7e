//! Server processes that end with the value that started them, and a guardian that ends them when nothing else can.

use std::fmt;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout_at};

use super::{DEADLINE, Missing};

/// How often a starting or ending server is asked whether it is done.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Kills the groups named on its standard input, runs what the directory given as its argument asks for at the end, and
/// removes that directory, once that input closes: the kernel closes it however the test process ends.
const GUARDIAN_SCRIPT: &str = r#"
trap '' INT TERM HUP
groups=
while read -r verb group; do
  case $verb in
    watch) groups="$groups $group" ;;
    release)
      others=
      for each in $groups; do [ "$each" = "$group" ] || others="$others $each"; done
      groups=$others ;;
  esac
done
for each in $groups; do kill -s KILL -- "-$each"; done
[ -f "$1/at-end.sh" ] && sh "$1/at-end.sh"
rm -rf -- "$1"
"#;

/// Why a server of the test bed could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its program is not installed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The machine refused a file, a port or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the machine answered.
        #[source]
        source: io::Error,
    },
    /// It ended instead of serving.
    #[error("{program} ended ({status}) before it was ready; its last lines:\n{log}")]
    Ended {
        /// The program's name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It runs but did not become ready.
    #[error("{program} was not ready within {deadline:?} ({reason}); its last lines:\n{log}")]
    NotReady {
        /// The program's name.
        program: String,
        /// How long it had.
        deadline: Duration,
        /// What the last probe saw.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// It needs rights that this process does not have.
    #[error("{0} needs root")]
    Unprivileged(&'static str),
    /// The API server runs but refused what the set-up asked of it.
    #[error("the API server refused the set-up: {0}")]
    Kubernetes(#[from] Box<kube::Error>),
}

impl StartError {
    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        let what = what.to_string();
        move |source| Self::Io { what, source }
    }
}

impl From<kube::Error> for StartError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

/// The script in a sandbox's directory that is run at its end.
const AT_END: &str = "at-end.sh";

/// A temporary directory and the servers that live in it. Both are gone after drop, and also after the process that
/// made them was killed.
#[derive(Debug)]
pub struct Sandbox {
    // Dropped first: the guardian then finds nothing left to do.
    directory: TempDir,
    guardian: Arc<Guardian>,
}

impl Sandbox {
    /// An empty sandbox whose directory bears `name`.
    pub fn new(name: &str) -> Result<Self, StartError> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("plimsoll-{name}-"))
            .tempdir()
            .map_err(StartError::io("cannot make a temporary directory"))?;
        let guardian = Guardian::start(directory.path()).map_err(StartError::io("cannot run `sh`"))?;
        Ok(Self { directory, guardian: Arc::new(guardian) })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Has the shell `script` run when the sandbox ends, after its servers; more than once must do no harm.
    pub fn at_end(&self, script: &str) -> Result<(), StartError> {
        fs::write(self.path().join(AT_END), script)
            .map_err(StartError::io("cannot write what to do at the end"))
    }

    /// Starts `program` in a process group of its own, with its output in a log file in the directory.
    pub fn start(&self, program: &Path, arguments: &[String]) -> Result<ServerProcess, StartError> {
        self.start_with(program, arguments, &[])
    }

    /// As [`start`](Self::start), with variables added to its environment.
    pub fn start_with(
        &self,
        program: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Result<ServerProcess, StartError> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log_file = self.path().join(format!("{name}.log"));
        let cannot = |what: &str| StartError::io(format!("cannot {what} {}", log_file.display()));
        let log = File::options().create(true).append(true).open(&log_file).map_err(cannot("write"))?;
        let errors = log.try_clone().map_err(cannot("write"))?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(StartError::io(format!("cannot run {}", program.display())))?;
        let group = Pid::from_child(&child);
        self.guardian.tell("watch", group);
        Ok(ServerProcess { name, child, group, ended: None, log_file, guardian: Arc::clone(&self.guardian) })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let script = self.path().join(AT_END);
        if script.exists() {
            // What it could not do, nothing can; the directory goes all the same.
            let _ = Command::new("sh").arg(script).stdin(Stdio::null()).output();
        }
    }
}

/// A running server; killed with all its children on drop.
#[derive(Debug)]
pub struct ServerProcess {
    name: String,
    child: Child,
    group: Pid,
    ended: Option<ExitStatus>,
    log_file: PathBuf,
    guardian: Arc<Guardian>,
}

impl ServerProcess {
    /// The process id, which is also the id of its group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops the server in its tracks, so that it hangs: connections are accepted by the kernel and never answered.
    pub fn suspend(&self) {
        // Without its children: a stopped child that has yet to run its program would keep it from stopping.
        if self.ended.is_none() && kill_process(self.group, Signal::STOP).is_ok() {
            // On a busy machine its threads run on for a while. An error means that it has ended.
            let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            let _ = waitid(WaitId::Pid(self.group), stopped);
        }
    }

    /// Lets a suspended server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the server to end, and does not wait.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks the server to end with an interrupt, which for PostgreSQL means without waiting for its clients.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills the server and all its children and waits for the end.
    pub fn kill(&mut self) {
        if self.ended.is_none() {
            self.signal(Signal::KILL);
            // The group is released before the process is reaped, while nobody else can have its id.
            self.guardian.tell("release", self.group);
            self.ended = self.child.wait().ok();
        }
    }

    /// Asks the server to end, and kills it if it has not within the deadline.
    pub async fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + DEADLINE;
        while self.ended().is_none() && Instant::now() < deadline {
            sleep(PROBE_INTERVAL).await;
        }
        self.kill();
    }

    /// How the server ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.guardian.tell("release", self.group);
            self.ended = Some(status);
        }
        self.ended
    }

    /// The last lines that the server logged.
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log_file).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).fold(String::new(), |tail, line| tail + line + "\n")
    }

    /// Waits until `probe` finds the server ready; the error of the last probe is the reason if it never is.
    pub async fn wait_until_ready<Probe, Answer, T, E>(&mut self, mut probe: Probe) -> Result<T, StartError>
    where
        Probe: FnMut() -> Answer,
        Answer: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let reason = match timeout_at(deadline, probe()).await {
                Ok(Ok(ready)) => return Ok(ready),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            if let Some(status) = self.ended() {
                return Err(StartError::Ended { program: self.name.clone(), status, log: self.log_tail() });
            }
            if Instant::now() >= deadline {
                let (program, log) = (self.name.clone(), self.log_tail());
                return Err(StartError::NotReady { program, deadline: DEADLINE, reason, log });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }

    fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            // It fails only if the group has ended already, which is what was wanted or is seen by `ended`.
            let _ = kill_process_group(self.group, signal);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A shell that outlives the test process by a moment, to end what that one left.
#[derive(Debug)]
struct Guardian {
    shell: Mutex<Child>,
    orders: Mutex<Option<ChildStdin>>,
}

impl Guardian {
    fn start(directory: &Path) -> io::Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", GUARDIAN_SCRIPT, "guardian"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let orders = Mutex::new(shell.stdin.take());
        Ok(Self { shell: Mutex::new(shell), orders })
    }

    fn tell(&self, verb: &str, group: Pid) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(orders) = orders.as_mut() {
            // A guardian that was killed can guard nothing; drop still ends the servers.
            let _ = writeln!(orders, "{verb} {}", group.as_raw_nonzero());
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.orders.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::program::Program;
    use rustix::process::test_kill_process_group;
    use std::env;
    use std::io::{BufRead, BufReader};

    /// A server with a child of its own, as `sh` runs it.
    fn sleeper(sandbox: &Sandbox) -> ServerProcess {
        let script = "sleep 600 & sleep 600";
        sandbox.start(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()]).unwrap()
    }

    fn runs(group: Pid) -> bool {
        test_kill_process_group(group).is_ok()
    }

    async fn wait_for_end_of(group: Pid) {
        let deadline = Instant::now() + DEADLINE;
        while runs(group) {
            assert!(Instant::now() < deadline, "the group still runs");
            sleep(PROBE_INTERVAL).await;
        }
    }

    #[tokio::test]
    async fn a_dropped_server_is_gone_with_its_children_and_its_directory() {
        let sandbox = Sandbox::new("test").unwrap();
        let (server, path) = (sleeper(&sandbox), sandbox.path().to_owned());
        let group = server.group;
        assert!(runs(group));
        drop((server, sandbox));
        wait_for_end_of(group).await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_suspended_server_is_killed_on_drop_too() {
        let sandbox = Sandbox::new("test").unwrap();
        let server = sleeper(&sandbox);
        server.suspend();
        let group = server.group;
        drop(server);
        wait_for_end_of(group).await;
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_reported_with_its_last_lines() {
        let sandbox = Sandbox::new("test").unwrap();
        let script = "echo bad flag; exit 3";
        let mut server = sandbox.start(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()]).unwrap();
        let error = server.wait_until_ready(async || Err::<(), _>("not yet")).await.unwrap_err().to_string();
        assert_eq!(error, "sh ended (exit status: 3) before it was ready; its last lines:\nbad flag\n");
    }

    /// Not a test: what `servers_end_even_when_the_test_process_is_killed` runs and kills.
    #[test]
    #[ignore = "waits to be killed"]
    fn a_process_that_waits_to_be_killed() {
        let sandbox = Sandbox::new("test").unwrap();
        let server = sleeper(&sandbox);
        println!("\n{} {}", server.id(), sandbox.path().display());
        std::thread::sleep(DEADLINE);
    }

    #[tokio::test]
    async fn servers_end_even_when_the_test_process_is_killed() {
        let name = "real::process::tests::a_process_that_waits_to_be_killed";
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", name, "--nocapture"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let (group, path) = lines
            .find_map(|line| {
                line.split_once(' ').and_then(|(id, path)| Some((id.parse().ok()?, path.to_owned())))
            })
            .unwrap();
        let group = Pid::from_raw(group).unwrap();
        assert!(runs(group));
        process.kill().unwrap();
        process.wait().unwrap();
        wait_for_end_of(group).await;
        let deadline = Instant::now() + DEADLINE;
        while Path::new(&path).exists() {
            assert!(Instant::now() < deadline, "{path} is still there");
            sleep(PROBE_INTERVAL).await;
        }
    }

    #[test]
    fn a_missing_program_is_an_error_of_its_own() {
        let error = StartError::from(Missing { program: Program::Prometheus });
        assert!(crate::real::unless_missing::<()>(Err(error)).unwrap().is_none());
    }
}
