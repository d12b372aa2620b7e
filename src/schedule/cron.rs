//! Cron expressions of five fields, as `CronJob` takes them.

use jiff::civil::Date;

/// Minute, hour, day of month, month, day of week. Where both kinds of days are restricted, a day counts that is either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Neither kind of days is `*`.
    either_day: bool,
}

struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of the values, from the least on.
    names: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", least: 0, most: 59, names: &[] };
const HOUR: Field = Field { name: "hour", least: 0, most: 23, names: &[] };
const DAY: Field = Field { name: "day of month", least: 1, most: 31, names: &[] };
const MONTH: Field = Field {
    name: "month",
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field {
    name: "day of week",
    least: 0,
    // Sunday is both 0 and 7.
    most: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};
/// The most days that the months can have.
const LONGEST_MONTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

impl Cron {
    /// Reads an expression such as `30 11 * * 1-5`. The error is a sentence: what is wrong with which field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let expression = match trimmed.to_ascii_lowercase().as_str() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            _ => trimmed,
        };
        let fields: Vec<_> = expression.split_whitespace().collect();
        let &[minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(format!(
                "a cron expression has five fields, minute, hour, day of month, month and day of week, such as \
                 \"30 11 * * 1-5\", and not {}",
                fields.len()
            ));
        };
        let weekdays = WEEKDAY.read(weekday)?;
        let any = |field: &str| field.starts_with(['*', '?']);
        let cron = Self {
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: DAY.read(day)?,
            months: MONTH.read(month)?,
            weekdays: if weekdays & (1 << 7) == 0 { weekdays } else { weekdays | 1 },
            either_day: !any(day) && !any(weekday),
        };
        if cron.comes() { Ok(cron) } else { Err(format!("day of month {day} never comes in month {month}")) }
    }

    /// Whether there is such a day in any year.
    fn comes(&self) -> bool {
        self.either_day
            || LONGEST_MONTHS.iter().zip(1_u32..).any(|(longest, month)| {
                self.months & (1 << month) != 0 && (1..=*longest).any(|day| self.days & (1 << day) != 0)
            })
    }

    /// Whether it comes on a day.
    pub(super) fn is_on(&self, date: Date) -> bool {
        let has = |bits: u64, value: i8| u32::try_from(value).is_ok_and(|value| bits & (1 << value) != 0);
        if !has(self.months, date.month()) {
            return false;
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }

    /// The hours of a day, ascending.
    pub(super) fn hours(&self) -> impl DoubleEndedIterator<Item = i8> + '_ {
        (0..24).filter(|hour| self.hours & (1_u64 << hour) != 0)
    }

    /// The minutes of an hour, ascending.
    pub(super) fn minutes(&self) -> impl DoubleEndedIterator<Item = i8> + '_ {
        (0..60).filter(|minute| self.minutes & (1_u64 << minute) != 0)
    }
}

impl Field {
    /// The values as bits.
    fn read(&self, text: &str) -> Result<u64, String> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part)?;
        }
        Ok(bits)
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse::<u32>().ok().filter(|step| *step > 0).ok_or_else(|| {
                    format!("{}: the step in {part:?} must be a number, 1 or more", self.name)
                })?;
                (range, Some(step))
            }
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (self.least, self.most),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            None if step.is_some() => (self.value(range)?, self.most),
            None => (self.value(range)?, self.value(range)?),
        };
        if from > to {
            return Err(format!(
                "{}: {range} runs backwards: write {from}-{} and {}-{to}, apart by a comma",
                self.name, self.most, self.least
            ));
        }
        let values = (from..=to).step_by(usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX));
        Ok(values.fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        let named = self.names.iter().zip(self.least..).find(|(name, _)| **name == lower);
        if let Some((_, value)) = named {
            return Ok(value);
        }
        let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|digit| digit.is_ascii_digit());
        let value = text.parse::<u32>().ok().filter(|_| digits);
        value
            .filter(|value| (self.least..=self.most).contains(value))
            .ok_or_else(|| format!("{}: {text:?} is none of {} to {}", self.name, self.least, self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn fields_are_lists_ranges_steps_and_names() {
        let cron = Cron::parse("*/20 8-10,22 1,15 JAN-mar,12 *").unwrap();
        assert_eq!(cron.minutes().collect::<Vec<_>>(), [0, 20, 40]);
        assert_eq!(cron.hours().collect::<Vec<_>>(), [8, 9, 10, 22]);
        for (day, on) in [
            ("2026-01-01", true),
            ("2026-03-15", true),
            ("2026-12-15", true),
            ("2026-04-01", false),
            ("2026-03-02", false),
        ] {
            assert_eq!(cron.is_on(date(day)), on, "{day}");
        }
        let minutes = |text| Cron::parse(text).unwrap().minutes().collect::<Vec<_>>();
        assert_eq!(minutes("50/3 * * * *"), [50, 53, 56, 59]);
        assert_eq!(minutes("10-20/5 * * * *"), [10, 15, 20]);
    }

    #[test]
    fn sunday_is_both_0_and_7_and_two_kinds_of_days_are_alternatives() {
        // 2026-11-22 is a Sunday.
        for weekday in ["0", "7", "SUN", "5-7", "fri-7", "*", "?"] {
            let cron = Cron::parse(&format!("0 0 * * {weekday}")).unwrap();
            assert!(cron.is_on(date("2026-11-22")), "{weekday}");
        }
        assert!(!Cron::parse("0 0 * * 1-5").unwrap().is_on(date("2026-11-22")));
        let either = Cron::parse("0 0 13 * 5").unwrap();
        for (day, on) in
            [("2026-11-13", true), ("2026-11-20", true), ("2026-12-13", true), ("2026-11-21", false)]
        {
            assert_eq!(either.is_on(date(day)), on, "{day}");
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused_in_words() {
        for (text, words) in [
            ("", "five fields"),
            ("0 8 * *", "and not 4"),
            ("0 0 8 * * *", "and not 6"),
            ("0 24 * * *", "hour: \"24\" is none of 0 to 23"),
            ("60 * * * *", "minute: \"60\" is none of 0 to 59"),
            ("0 0 0 * *", "day of month: \"0\""),
            ("0 0 * 13 *", "month: \"13\""),
            ("0 0 * * 8", "day of week: \"8\""),
            ("0 0 * * mo", "day of week: \"mo\""),
            ("0 22-2 * * *", "hour: 22-2 runs backwards: write 22-23 and 0-2"),
            ("*/0 * * * *", "must be a number, 1 or more"),
            ("*/x * * * *", "must be a number, 1 or more"),
            ("1,, * * * *", "minute: \"\""),
            ("0 0 30 2 *", "day of month 30 never comes in month 2"),
            ("0 0 31 4,6,9,11 *", "never comes"),
            ("0 0 L * *", "day of month: \"L\""),
            ("+5 * * * *", "minute: \"+5\""),
        ] {
            let fault = Cron::parse(text).unwrap_err();
            assert!(fault.contains(words), "{text}: {fault}");
        }
        for text in ["0 0 29 2 *", "0 0 30 2 1", "@daily", "@Hourly", " 0  8 * * 1-5 "] {
            assert!(Cron::parse(text).is_ok(), "{text}");
        }
    }
}
