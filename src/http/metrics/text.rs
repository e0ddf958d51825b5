//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of it in the making.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// Begins a family: its samples have to follow before the next one begins.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: &str, help: &str) -> Family<'a> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: self, name }
    }

    /// A family of one gauge.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help).sample("", &[], value);
    }

    /// A family of one counter.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help).sample("", &[], value);
    }

    pub fn done(self) -> String {
        self.0
    }
}

/// Samples of one name.
pub struct Family<'a> {
    text: &'a mut Text,
    name: &'a str,
}

impl Family<'_> {
    /// `end` is what a histogram's samples add to the name.
    pub fn sample(&mut self, end: &str, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.text.0;
        text.push_str(self.name);
        text.push_str(end);
        for (at, (label, value)) in labels.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            let _ = write!(text, "{label}=\"{}\"", escaped(value));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{close} {value}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_the_format_is_escaped() {
        let mut text = Text::default();
        let mut family = text.family("a_total", "counter", "one\\two\nthree \"four\"");
        family.sample("", &[("x", "a\\b\"c\nd"), ("y", "")], 7);
        family.sample("_sum", &[], 0.25);
        assert_eq!(
            text.done(),
            "# HELP a_total one\\\\two\\nthree \"four\"\n# TYPE a_total counter\n\
             a_total{x=\"a\\\\b\\\"c\\nd\",y=\"\"} 7\na_total_sum 0.25\n"
        );
    }
}
