//! Reading `/metrics` while the clock stands still.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Real time for one answer.
const DEADLINE: Duration = Duration::from_secs(5);
const LONGEST: u64 = 4 << 20;

/// What the operator exposes now. A paused clock stands still while a blocking task runs.
pub(super) async fn scrape(address: SocketAddr) -> io::Result<String> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut text = String::new();
        stream.take(LONGEST).read_to_string(&mut text)?;
        Ok(text)
    });
    asked.await.map_err(io::Error::other)?
}

/// Whether a series of this name, with this in its labels, has a value in the range.
pub(super) fn has(metrics: &str, name: &str, label: &str, least: f64, most: f64) -> bool {
    metrics.lines().any(|line| {
        let Some((series, value)) = line.rsplit_once(' ') else { return false };
        let (of, labels) = series.split_once('{').unwrap_or((series, ""));
        let value: f64 = value.parse().unwrap_or(f64::NAN);
        of == name && labels.contains(label) && (least..=most).contains(&value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_name_labels_and_value() {
        let text = "# HELP a_b c\na_b{x=\"1\",y=\"2\"} 0.5\na_b_c 7\n";
        for (name, label, least, most, there) in [
            ("a_b", "", 0.5, 0.5, true),
            ("a_b", "y=\"2\"", 0.0, 1.0, true),
            ("a_b", "y=\"3\"", 0.0, 1.0, false),
            ("a_b", "", 0.6, 1.0, false),
            ("a_b_c", "", 7.0, 7.0, true),
            ("a", "", 0.0, 9.0, false),
        ] {
            assert_eq!(has(text, name, label, least, most), there, "{name} {label}");
        }
    }
}
