//! The conditions of a route.

use std::fmt;
use std::ops::Bound;

/// A number of a sample that a route can compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Field {
    Confidence,
    Margin,
    Entropy,
    Duration,
    Rms,
    Centroid,
    Rolloff,
    SampleRate,
    Channels,
    Size,
}

impl Field {
    pub(super) const ALL: [Self; 10] = [
        Self::Confidence,
        Self::Margin,
        Self::Entropy,
        Self::Duration,
        Self::Rms,
        Self::Centroid,
        Self::Rolloff,
        Self::SampleRate,
        Self::Channels,
        Self::Size,
    ];

    /// The key in rules.yml.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Confidence => "confidence",
            Self::Margin => "margin",
            Self::Entropy => "entropy",
            Self::Duration => "duration",
            Self::Rms => "rms",
            Self::Centroid => "centroid",
            Self::Rolloff => "rolloff",
            Self::SampleRate => "sample_rate",
            Self::Channels => "channels",
            Self::Size => "size",
        }
    }

    /// What it is, in a few words.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Confidence => "The probability of the label",
            Self::Margin => "The probability of the label less that of the next",
            Self::Entropy => "How undecided the model is: 0 certain, 3.5 clueless",
            Self::Duration => "The length",
            Self::Rms => "The level",
            Self::Centroid => "The mean frequency",
            Self::Rolloff => "The frequency below which 85 % of the spectrum lie",
            Self::SampleRate => "Frames a second",
            Self::Channels => "Number of channels",
            Self::Size => "The file's size",
        }
    }

    /// The unit, for messages.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Confidence | Self::Margin => "0 to 1",
            Self::Entropy => "nats",
            Self::Duration => "seconds",
            Self::Rms => "dBFS",
            Self::Centroid | Self::Rolloff | Self::SampleRate => "Hz",
            Self::Channels => "channels",
            Self::Size => "bytes",
        }
    }

    /// Whether its values are whole, so that being equal to one means something.
    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::SampleRate | Self::Channels | Self::Size)
    }

    /// Whether its values lie between 0 and 1.
    pub(super) fn is_unit(self) -> bool {
        matches!(self, Self::Confidence | Self::Margin)
    }

    /// Whether its values are kept in single precision.
    fn is_single(self) -> bool {
        matches!(self, Self::Confidence | Self::Margin | Self::Entropy | Self::Rms | Self::Centroid | Self::Rolloff)
    }
}

/// A comparison: an interval that a value has to lie in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    low: Bound<f64>,
    high: Bound<f64>,
}

/// Why a comparison can't be read: a message and a hint.
pub(super) type ComparisonError = (String, Option<String>);

impl Interval {
    /// Reads `> 4.0`, `>= 0.6`, `< 3`, `<= 3`, `= 2`, `0.1..0.5` (ends included) or, for whole numbers, `2`.
    pub(super) fn parse(field: Field, text: &str) -> Result<Self, ComparisonError> {
        let text = text.trim();
        let number = |part: &str| parse_number(field, part);
        const OPERATORS: [&str; 7] = [">=", "=>", "<=", "=<", "==", ">", "<"];
        let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator));
        let (operator, rest) = match operator {
            Some(operator) => (operator, text.get(operator.len()..).unwrap_or("")),
            None => match text.strip_prefix('=') {
                Some(rest) => ("==", rest),
                None => ("", text),
            },
        };
        if let ("", Some((low, high))) = (operator, text.split_once("..")) {
            let (low, high) = (number(low)?, number(high.trim_start_matches('='))?);
            if low > high {
                let hint = format!("write `{high}..{low}`");
                return Err((format!("`{text}` starts above where it ends"), Some(hint)));
            }
            return Ok(Self { low: Bound::Included(low), high: Bound::Included(high) });
        }
        let value = number(rest)?;
        let interval = match operator {
            ">=" | "=>" => Self { low: Bound::Included(value), high: Bound::Unbounded },
            "<=" | "=<" => Self { low: Bound::Unbounded, high: Bound::Included(value) },
            ">" => Self { low: Bound::Excluded(value), high: Bound::Unbounded },
            "<" => Self { low: Bound::Unbounded, high: Bound::Excluded(value) },
            _ if field.is_whole() => Self { low: Bound::Included(value), high: Bound::Included(value) },
            _ => {
                return Err((
                    format!("`{text}` says that `{}` is exactly that, which it never is", field.name()),
                    Some(format!("write \"> {value}\", \"< {value}\" or a range such as \"0..{value}\"")),
                ));
            }
        };
        Ok(interval)
    }

    /// Whether `value` lies in it; NaN lies in none.
    pub(super) fn contains(&self, value: f64) -> bool {
        let above = match self.low {
            Bound::Unbounded => !value.is_nan(),
            Bound::Included(low) => value >= low,
            Bound::Excluded(low) => value > low,
        };
        above
            && match self.high {
                Bound::Unbounded => true,
                Bound::Included(high) => value <= high,
                Bound::Excluded(high) => value < high,
            }
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As it was written: 0.65 and not what single precision made of it.
        let number = |value: f64| {
            let single = value as f32;
            if f64::from(single) == value { single.to_string() } else { value.to_string() }
        };
        match (self.low, self.high) {
            (Bound::Included(low), Bound::Included(high)) if low == high => write!(f, "= {}", number(low)),
            (Bound::Included(low), Bound::Included(high)) => write!(f, "{}..{}", number(low), number(high)),
            (Bound::Included(low), _) => write!(f, ">= {}", number(low)),
            (Bound::Excluded(low), _) => write!(f, "> {}", number(low)),
            (_, Bound::Included(high)) => write!(f, "<= {}", number(high)),
            (_, Bound::Excluded(high)) => write!(f, "< {}", number(high)),
            (Bound::Unbounded, Bound::Unbounded) => f.write_str("anything"),
        }
    }
}

fn parse_number(field: Field, text: &str) -> Result<f64, ComparisonError> {
    let text = text.trim();
    let expected = || {
        format!(
            "`{}` compares a number ({}): \"> 4.0\", \">= 0.6\", \"< 3\" or \"0.1..0.5\"",
            field.name(),
            field.unit()
        )
    };
    let value: f64 = match text.parse() {
        Ok(value) => value,
        Err(_) => {
            let digits = text.trim_end_matches(|c: char| c.is_alphabetic() || c == '%' || c == ' ');
            let hint = (!digits.is_empty() && digits.parse::<f64>().is_ok())
                .then(|| format!("leave the unit out: {} is in {}", field.name(), field.unit()));
            let found =
                if text.is_empty() { "no number".to_owned() } else { format!("`{}`", super::error::shown(text)) };
            return Err((format!("found {found}; {}", expected()), hint));
        }
    };
    if !value.is_finite() {
        return Err((format!("found `{text}`; {}", expected()), None));
    }
    if field.is_unit() && !(0.0..=1.0).contains(&value) {
        let hint = (1.0 < value && value <= 100.0).then(|| format!("{value} percent is {}", value / 100.0));
        return Err((format!("found `{text}`; `{}` lies between 0 and 1", field.name()), hint));
    }
    // A value kept in single precision has to meet the bound it was written with: 0.7 is not below "0.7".
    Ok(if field.is_single() { f64::from(value as f32) } else { value })
}

/// One condition of a route. Labels and reasons are alternatives: one of them has to hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Number(Field, Interval),
    Label(Vec<String>),
    FineLabel(Vec<String>),
    /// Bits by [`super::Reason`].
    Reason(u16),
    /// Patterns and their indices among the path patterns of all routes.
    Path(Vec<(usize, String)>),
    /// The same among the name patterns.
    Name(Vec<(usize, String)>),
}

impl Condition {
    /// The order of testing: what costs least comes first.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Number(..) => 0,
            Self::Label(_) | Self::FineLabel(_) => 1,
            Self::Reason(_) => 2,
            Self::Name(_) => 3,
            Self::Path(_) => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_mean_what_they_say() {
        for (text, inside, outside) in [
            ("> 4.0", vec![4.1, 100.0], vec![4.0, 0.0]),
            (">=4", vec![4.0], vec![3.999]),
            (" < 3 ", vec![2.9, -1.0], vec![3.0]),
            ("<= 3", vec![3.0], vec![3.1]),
            ("0.1..0.5", vec![0.1, 0.3, 0.5], vec![0.09, 0.51]),
        ] {
            let interval = Interval::parse(Field::Duration, text).unwrap();
            assert!(inside.iter().all(|value| interval.contains(*value)), "{text}");
            assert!(!outside.iter().any(|value| interval.contains(*value)), "{text}");
            assert!(!interval.contains(f64::NAN), "{text}");
            assert_eq!(Interval::parse(Field::Duration, &interval.to_string()), Ok(interval));
        }
        for text in ["2", "= 2", "== 2"] {
            let interval = Interval::parse(Field::Channels, text).unwrap();
            assert!(interval.contains(2.0) && !interval.contains(1.0));
        }
    }

    #[test]
    fn a_bound_is_met_by_the_single_precision_value_it_names() {
        for value in ["0.1", "0.6", "0.7", "0.95"] {
            let interval = Interval::parse(Field::Confidence, &format!(">= {value}")).unwrap();
            assert!(interval.contains(f64::from(value.parse::<f32>().unwrap())), "{value}");
        }
    }

    #[test]
    fn comparisons_that_can_not_hold_are_refused_with_a_hint() {
        for (field, text) in [
            (Field::Duration, "4.0"),
            (Field::Confidence, "> 60"),
            (Field::Duration, "> 4 s"),
            (Field::Duration, "5..1"),
        ] {
            let (_, hint) = Interval::parse(field, text).unwrap_err();
            assert!(hint.is_some(), "{text}");
        }
        for text in ["", ">", "long", "> nan", "> inf", "1..", "..", "> 1 2"] {
            assert!(Interval::parse(Field::Duration, text).is_err(), "{text}");
        }
    }
}
