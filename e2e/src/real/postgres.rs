//! A real PostgreSQL with few connections, on a Unix socket of its own.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio_postgres::{Client, Config, NoTls};

use super::process::{Sandbox, ServerProcess, StartError};
use super::program::{Missing, Program};

/// The role that may do everything.
pub const SUPERUSER: &str = "postgres";
/// The user that runs the server where root may not.
const USER: &str = "postgres";
/// Names the socket; nothing listens on a port.
const PORT: u16 = 5432;
/// How long the server has to give its shared memory back.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is asked whether it has.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The server's shared memory outlives it if it is killed. The file is there until it has cleaned up itself.
const FREE_SHARED_MEMORY: &str = r#"
file=$(dirname "$0")/data/postmaster.pid
[ -f "$file" ] || exit 0
id=$(sed -n 7p "$file" | awk '{print $2}')
[ -n "$id" ] && ipcrm --shmem-id "$id"
"#;

/// How a PostgreSQL is started.
#[derive(Clone, Copy, Debug)]
pub struct PostgresOptions {
    /// `max_connections`.
    pub max_connections: u32,
    /// `superuser_reserved_connections`.
    pub superuser_reserved_connections: u32,
}

/// A running PostgreSQL; ended and its data removed on drop.
#[derive(Debug)]
pub struct Postgres {
    server: ServerProcess,
    sandbox: Sandbox,
}

impl Postgres {
    /// Starts a server with the empty database `postgres`, and waits until it accepts connections. Whoever reaches the
    /// socket is believed to be whom he says he is; only this user and root do.
    pub async fn start(options: PostgresOptions) -> Result<Self, StartError> {
        let (postgres, initdb) = (Program::Postgres.find()?, Program::Initdb.find()?);
        let sandbox = Sandbox::new("postgres")?;
        let data = sandbox.path().join("data");
        fs::create_dir(&data).map_err(StartError::io("cannot make PostgreSQL's directory"))?;
        let identity = Identity::choose()?;
        identity
            .give(sandbox.path(), &data)
            .map_err(StartError::io("cannot give PostgreSQL its directory"))?;
        sandbox.at_end(FREE_SHARED_MEMORY)?;
        let arguments = ["--pgdata=data", "--username=postgres", "--auth=trust", "--encoding=UTF8"];
        let arguments = arguments.into_iter().chain(["--no-locale", "--no-sync"]).map(str::to_owned);
        let (program, arguments) = identity.command(&initdb, arguments.collect());
        let made = Command::new(&program)
            .args(&arguments)
            .current_dir(sandbox.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(StartError::io("cannot run initdb"))?;
        if !made.status.success() {
            let words = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(StartError::io("initdb failed")(io::Error::other(words)));
        }
        let (program, arguments) = identity.command(&postgres, arguments_of(&data, options));
        let server = sandbox.start(&program, &arguments)?;
        let mut postgres = Self { server, sandbox };
        let config = postgres.config(SUPERUSER, "postgres");
        postgres.server.wait_until_ready(async || config.connect(NoTls).await.map(drop)).await?;
        Ok(postgres)
    }

    /// How `user` reaches a database.
    pub fn config(&self, user: &str, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(self.data()).port(PORT).user(user).dbname(database);
        config
    }

    /// How `user` reaches a database, in the words that every client of PostgreSQL understands.
    pub fn connection_string(&self, user: &str, database: &str) -> String {
        format!("host={} port={PORT} user={user} dbname={database} sslmode=disable", self.data().display())
    }

    /// A connection of `user` to a database; it lives as long as the client.
    pub async fn connect(&self, user: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config(user, database).connect(NoTls).await?;
        // Its end is seen by whoever uses the client next.
        tokio::spawn(connection);
        Ok(client)
    }

    /// The last lines that the server logged.
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    fn data(&self) -> PathBuf {
        self.sandbox.path().join("data")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server.interrupt();
        let deadline = Instant::now() + GRACE;
        while self.server.ended().is_none() && Instant::now() < deadline {
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// Who runs the server.
enum Identity {
    /// The user of the test.
    Own,
    /// The user that PostgreSQL's package has made, since root may not.
    Postgres { user: u32, group: u32, setpriv: PathBuf },
}

impl Identity {
    fn choose() -> Result<Self, StartError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let setpriv = Program::Setpriv.find()?;
        let users = fs::read_to_string("/etc/passwd").map_err(StartError::io("cannot read /etc/passwd"))?;
        let found = users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, user, group) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            (name == USER).then_some(())?;
            Some((user.parse().ok()?, group.parse().ok()?))
        });
        let (user, group) = found.ok_or(Missing { program: Program::Postgres })?;
        Ok(Self::Postgres { user, group, setpriv })
    }

    fn give(&self, sandbox: &Path, data: &Path) -> io::Result<()> {
        fs::set_permissions(data, Permissions::from_mode(0o700))?;
        if let Self::Postgres { user, group, .. } = self {
            // The server has to reach its directory, and nobody has to see what else is there.
            fs::set_permissions(sandbox, Permissions::from_mode(0o711))?;
            chown(data, Some(*user), Some(*group))?;
        }
        Ok(())
    }

    fn command(&self, program: &Path, arguments: Vec<String>) -> (PathBuf, Vec<String>) {
        match self {
            Self::Own => (program.to_owned(), arguments),
            Self::Postgres { user, group, setpriv } => {
                let as_user = [
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--clear-groups".to_owned(),
                    "--".to_owned(),
                    program.display().to_string(),
                ];
                (setpriv.clone(), as_user.into_iter().chain(arguments).collect())
            }
        }
    }
}

fn arguments_of(data: &Path, options: PostgresOptions) -> Vec<String> {
    let PostgresOptions { max_connections, superuser_reserved_connections } = options;
    let settings = [
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        format!("unix_socket_directories={}", data.display()),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={max_connections}"),
        format!("superuser_reserved_connections={superuser_reserved_connections}"),
        "shared_buffers=16MB".to_owned(),
        // In files of its directory, which go with it however it ends.
        "dynamic_shared_memory_type=mmap".to_owned(),
        // Nothing here has to survive a power cut, and disks of test machines are slow.
        "fsync=off".to_owned(),
        "synchronous_commit=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "wal_level=minimal".to_owned(),
        "max_wal_senders=0".to_owned(),
    ];
    let settings = settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]);
    ["-D".to_owned(), data.display().to_string()].into_iter().chain(settings).collect()
}
