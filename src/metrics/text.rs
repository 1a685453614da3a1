//! Converts `OpenMetrics` to the Prometheus text format 0.0.4.

/// Converts `open_metrics` to the older format, in which a counter has the name of its samples, an info is a gauge, and
/// unit and end markers are absent.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut plain = String::with_capacity(open_metrics.len());
    // The help precedes the type, which decides the name in both lines.
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map(|(_, text)| text);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            // Taken, so a metric without help does not inherit the help of the previous metric.
            if let Some(text) = help.take() {
                plain.extend(["# HELP ", name, suffix, " ", text, "\n"]);
            }
            plain.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            plain.extend([line, "\n"]);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_infos_are_named_like_their_samples() {
        let open = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1.5\n\
                    # HELP b How often.\n# TYPE b counter\nb_total{x=\"# y\"} 2\n\
                    # HELP c What.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_seconds How long.\n# TYPE a_seconds gauge\na_seconds 1.5\n\
                        # HELP b_total How often.\n# TYPE b_total counter\nb_total{x=\"# y\"} 2\n\
                        # HELP c_info What.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(plain(open), expected);
    }
}
