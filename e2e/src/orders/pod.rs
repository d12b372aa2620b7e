//! What runs in a pod: a service that holds a pool of connections for all its life, and queries with them.
//!
//! It is told what to do, and tells what it does, in lines on a Unix socket; when that closes, it ends.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_util::sync::CancellationToken;

/// How long after a refusal a connection is asked for again: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// How long any answer of the database may take.
const DATABASE_DEADLINE: Duration = Duration::from_secs(10);
/// How a pod runs.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "orders-pod")]
pub struct PodArguments {
    /// Name by which the test bed knows it
    #[arg(long)]
    pub id: String,
    /// Socket of the test bed
    #[arg(long, value_name = "FILE")]
    pub socket: PathBuf,
    /// The database, as PostgreSQL's clients write it
    #[arg(long, value_name = "CONNECTION STRING")]
    pub database: String,
    /// What a query is, as SQL
    #[arg(long, value_name = "SQL")]
    pub statement: String,
    /// Connections in its pool
    #[arg(long)]
    pub pool: usize,
    /// Milliseconds from its start until it is ready
    #[arg(long, value_name = "MILLISECONDS")]
    pub start_up: u64,
    /// Milliseconds for which it holds its connections after it was told to end
    #[arg(long, value_name = "MILLISECONDS")]
    pub drain: u64,
    /// Milliseconds after which nobody waits for an answer any more: what waited so long is not begun
    #[arg(long, value_name = "MILLISECONDS")]
    pub patience: u64,
    /// The database is told to give up what nobody waits for any more
    #[arg(long)]
    pub cancel_late: bool,
}

/// Runs a pod until it is told to end, and has drained.
pub async fn run(arguments: PodArguments) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let stream = UnixStream::connect(&arguments.socket).await?;
    let (read, mut write) = stream.into_split();
    let (voice, mut words) = mpsc::unbounded_channel::<String>();
    let voice = Voice(voice);
    let speaking = tokio::spawn(async move {
        while let Some(line) = words.recv().await {
            if write.write_all(line.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    voice.say(&format!("hello {}", arguments.id));

    let (work, taken) = mpsc::unbounded_channel();
    let (open, mut opened) = watch::channel(0_usize);
    let pool = Arc::new(Pool {
        config: arguments.database.parse().map_err(io::Error::other)?,
        statement: arguments.statement.clone(),
        patience: Duration::from_millis(arguments.patience),
        cancel_late: arguments.cancel_late,
        work: Mutex::new(taken),
        voice: voice.clone(),
        open,
        told_to_end: CancellationToken::new(),
        drained: CancellationToken::new(),
    });
    let mut connections = JoinSet::new();
    for _ in 0..arguments.pool {
        connections.spawn(Arc::clone(&pool).hold_connection());
    }
    let mut ordered = tokio::spawn(take_work(BufReader::new(read).lines(), work));
    let ready = async {
        sleep(Duration::from_millis(arguments.start_up)).await;
        // As pools do: one connection shows that the database is there, the others follow.
        let _ = opened.wait_for(|open| *open > 0).await;
        voice.say("ready");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = &mut ordered => return Ok(()),
        () = ready => {}
        _ = terminate.recv() => {}
    }
    pool.told_to_end.cancel();
    tokio::select! {
        _ = &mut ordered => return Ok(()),
        () = sleep(Duration::from_millis(arguments.drain)) => {}
    }
    pool.drained.cancel();
    while connections.join_next().await.is_some() {}
    drop((pool, voice));
    let _ = timeout(DATABASE_DEADLINE, speaking).await;
    Ok(())
}

/// Something to do, and since when.
struct Work {
    id: String,
    since: Instant,
}

/// Takes the test bed's lines, each the name of a query to make, until it closes the socket.
async fn take_work(mut lines: Lines<BufReader<OwnedReadHalf>>, work: mpsc::UnboundedSender<Work>) {
    while let Ok(Some(id)) = lines.next_line().await {
        if work.send(Work { id, since: Instant::now() }).is_err() {
            return;
        }
    }
}

#[derive(Clone)]
struct Voice(mpsc::UnboundedSender<String>);

impl Voice {
    fn say(&self, words: &str) {
        // Nobody listens any more: the pod is about to end.
        let _ = self.0.send(format!("{words}\n"));
    }
}

struct Pool {
    config: Config,
    statement: String,
    patience: Duration,
    cancel_late: bool,
    work: Mutex<mpsc::UnboundedReceiver<Work>>,
    voice: Voice,
    open: watch::Sender<usize>,
    told_to_end: CancellationToken,
    drained: CancellationToken,
}

impl Pool {
    /// Holds one connection until the pod has drained; one that is refused or lost is asked for again.
    async fn hold_connection(self: Arc<Self>) {
        let mut backoff = BACKOFF.0;
        while !self.told_to_end.is_cancelled() {
            self.voice.say("attempt");
            match timeout(DATABASE_DEADLINE, self.config.connect(NoTls)).await {
                Ok(Ok((client, connection))) => {
                    let connection = tokio::spawn(connection);
                    self.voice.say("opened");
                    self.open.send_modify(|open| *open += 1);
                    self.serve(&client).await;
                    self.open.send_modify(|open| *open = open.saturating_sub(1));
                    // It says goodbye, so that the database has let it go before the pod is gone.
                    drop(client);
                    let _ = timeout(DATABASE_DEADLINE, connection).await;
                    backoff = BACKOFF.0;
                }
                Ok(Err(error)) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                    let words = error.as_db_error().map(|error| error.message().to_owned());
                    self.voice.say(&format!("refused {}", words.unwrap_or_default()));
                }
                Ok(Err(error)) => self.voice.say(&format!("unreachable {error}")),
                Err(_) => self.voice.say("unreachable no answer"),
            }
            let pause = backoff.mul_f64(0.75 + 0.5 * fastrand::f64());
            backoff = BACKOFF.1.min(backoff * 2);
            tokio::select! {
                () = self.told_to_end.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Makes queries with a connection until the pod has drained or the connection is lost.
    async fn serve(&self, client: &Client) {
        loop {
            let work = tokio::select! {
                biased;
                () = self.drained.cancelled() => return,
                work = async { self.work.lock().await.recv().await } => work,
            };
            let Some(work) = work else { return };
            let left = self.patience.saturating_sub(work.since.elapsed());
            if left.is_zero() {
                self.voice.say(&format!("expired {}", work.id));
                continue;
            }
            let made = timeout(DATABASE_DEADLINE, self.make_query(client, left)).await;
            if matches!(made, Ok(Ok(()))) {
                self.voice.say(&format!("done {}", work.id));
                continue;
            }
            self.voice.say(&format!("failed {}", work.id));
            if made.is_err() || client.is_closed() {
                return;
            }
        }
    }

    async fn make_query(&self, client: &Client, left: Duration) -> Result<(), tokio_postgres::Error> {
        if self.cancel_late {
            // 0 would be no limit.
            let milliseconds = left.as_millis().max(1);
            client.batch_execute(&format!("SET statement_timeout = {milliseconds}")).await?;
        }
        client.batch_execute(&self.statement).await
    }
}
