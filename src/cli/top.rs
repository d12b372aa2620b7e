//! `plimsoll top`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::cluster::{Cluster, ClusterOptions, block_on};
use super::explain::{Output, print_json};
use super::files::print;
use super::live::{Happening, Live};
use super::terminal::{is_live, paint, size};
use crate::cluster::moment;
use crate::inspect::{Order, Overview, overview};
use crate::simulate::parse_span;
use crate::time::Span;

/// How policies stand, one line each: replicas, what they need, what holds them. On a terminal the table stays and is
/// drawn anew; q or Ctrl-C ends it.
#[derive(Debug, Args)]
#[command(
    after_help = "On a terminal the table stays and is drawn anew, also when the window changes its size; q or Ctrl-C ends it.\n\n\
    What is shown is what status holds; AGE tells how long ago the operator wrote it, which it does when something \
    changes. NEED is what demand asks for, CEILING the most that all limits allow.\n\n\
    Examples:\n  plimsoll top -A\n  plimsoll top -n shop --once\n  plimsoll top -A --sort replicas --interval 5s"
)]
pub(super) struct Top {
    /// Namespace of the policies; default: the context's
    #[arg(long, short, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,
    /// Policies of all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Print the table once; default where the output is no terminal
    #[arg(long, conflicts_with = "watch")]
    once: bool,
    /// Look again and again; default on a terminal
    #[arg(long, short)]
    watch: bool,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_span)]
    interval: Span,
    /// What comes first
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = SortBy::Trouble)]
    sort: SortBy,
    /// How it is printed; json prints once
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SortBy {
    /// What lacks most, then what is not Ready
    Trouble,
    /// Namespace and name
    Name,
    /// The largest
    Replicas,
}

impl Top {
    pub(super) fn execute(self) -> Result<(), String> {
        if self.interval < Span::from_millis(500) {
            return Err("--interval must be 500ms or more: the API server has others to serve".to_owned());
        }
        block_on(self.show())
    }

    async fn show(self) -> Result<(), String> {
        let cluster = self.cluster.connect().await?;
        if self.output == Output::Json {
            return print_json(&self.look(&cluster).await?);
        }
        if self.once || !(self.watch || is_live()) {
            let found = self.look(&cluster).await?;
            return print(&found.text(moment(jiff::Timestamp::now()), None, paint()));
        }
        // What cannot be looked at from the beginning is a mistake, and no passing trouble.
        let found = self.look(&cluster).await?;
        if is_live() { self.stay(&cluster, found).await } else { self.repeat(&cluster, found).await }
    }

    /// One table after the other, for who reads them from a pipe.
    async fn repeat(&self, cluster: &Cluster, mut found: Overview) -> Result<(), String> {
        let mut trouble = None;
        loop {
            let told =
                trouble.map(|fault: String| format!("the last look failed: {fault}\n")).unwrap_or_default();
            print(&format!("{}{told}\n", found.text(moment(jiff::Timestamp::now()), None, paint())))?;
            tokio::time::sleep(Duration::from_millis(self.interval.millis())).await;
            match self.look(cluster).await {
                Ok(newer) => (found, trouble) = (newer, None),
                Err(fault) => trouble = Some(fault),
            }
        }
    }

    /// A table that stays where it is and is drawn anew, until the person has seen enough.
    async fn stay(&self, cluster: &Cluster, mut found: Overview) -> Result<(), String> {
        let mut live = Live::begin()?;
        let mut trouble: Option<String> = None;
        loop {
            print(&self.frame(&found, trouble.as_deref()))?;
            let again = async {
                tokio::time::sleep(Duration::from_millis(self.interval.millis())).await;
                self.look(cluster).await
            };
            tokio::pin!(again);
            // What happens meanwhile breaks off neither the wait nor the look.
            loop {
                tokio::select! {
                    looked = &mut again => {
                        match looked {
                            Ok(newer) => (found, trouble) = (newer, None),
                            Err(fault) => trouble = Some(fault),
                        }
                        break;
                    }
                    happening = live.next() => match happening {
                        Happening::End => return Ok(()),
                        Happening::Resized => print(&self.frame(&found, trouble.as_deref()))?,
                    },
                }
            }
        }
    }

    async fn look(&self, cluster: &Cluster) -> Result<Overview, String> {
        let order = match self.sort {
            SortBy::Trouble => Order::Trouble,
            SortBy::Name => Order::Name,
            SortBy::Replicas => Order::Replicas,
        };
        let namespace = self.namespace.as_deref().unwrap_or(&cluster.namespace);
        overview(&cluster.client, (!self.all_namespaces).then_some(namespace), order).await
    }

    /// One drawing of the table, which fills the terminal.
    fn frame(&self, found: &Overview, trouble: Option<&str>) -> String {
        let now = jiff::Zoned::now();
        let (columns, rows) = size().unwrap_or((80, 24));
        let cut = |text: &str| text.chars().take(columns).collect::<String>();
        let paint = paint();
        let title = format!("plimsoll top, {} every {}; q ends it", now.strftime("%H:%M:%S"), self.interval);
        let mut lines = vec![paint.faint(&cut(&title))];
        if let Some(trouble) = trouble {
            let trouble = trouble.replace('\n', " ");
            lines.push(paint.bad(&cut(&format!("the last look failed: {trouble}"))));
        }
        let table = found.text(moment(now.timestamp()), Some(columns), paint);
        lines.extend(table.lines().map(str::to_owned));
        let all = lines.len();
        if all > rows {
            lines.truncate(rows.saturating_sub(1));
            let more = all.saturating_sub(lines.len());
            lines.push(
                paint.faint(&cut(&format!("… and {more} more: name a namespace with -n, or make room"))),
            );
        }
        // No line break after the last line: in the last row it would scroll.
        format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n"))
    }
}
