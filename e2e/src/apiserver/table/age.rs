//! Ages as `kubectl` shows them.

use jiff::Timestamp;

/// How long ago `moment` (RFC 3339) was, in at most two units.
pub(crate) fn age_since(moment: &str, now: Timestamp) -> String {
    let Ok(moment) = moment.parse::<Timestamp>() else { return "<unknown>".to_owned() };
    let seconds = now.duration_since(moment).as_secs();
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        _ => human(seconds.unsigned_abs()),
    }
}

fn human(seconds: u64) -> String {
    let (minutes, hours) = (seconds.div_euclid(60), seconds.div_euclid(3600));
    let (days, years) = (hours.div_euclid(24), hours.div_euclid(24 * 365));
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| {
        if small == 0 {
            format!("{large}{large_unit}")
        } else {
            format!("{large}{large_unit}{small}{small_unit}")
        }
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if days < 8 {
        two(days, "d", hours % 24, "h")
    } else if years < 2 {
        format!("{days}d")
    } else if years < 8 {
        two(years, "y", days % 365, "d")
    } else {
        format!("{years}y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_as_kubectl_shows_them() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (330, "5m30s"),
            (3_600, "60m"),
            (3 * 3_600 + 60, "3h1m"),
            (9 * 3_600, "9h"),
            (50 * 3_600, "2d2h"),
            (30 * 86_400, "30d"),
            (800 * 86_400, "2y70d"),
        ] {
            let now = Timestamp::from_second(seconds).unwrap();
            assert_eq!(age_since("1970-01-01T00:00:00Z", now), text);
        }
        assert_eq!(age_since("", Timestamp::UNIX_EPOCH), "<unknown>");
        assert_eq!(age_since("1970-01-01T00:00:09Z", Timestamp::UNIX_EPOCH), "<invalid>");
    }
}
