//! What a request's path stands for. Pure: no clock, no IO.

use std::sync::Arc;

use percent_encoding::percent_decode_str;

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A topic, by its place among those that are served, and the partition that the path names.
    Topic {
        topic: usize,
        partition: Option<i32>,
    },
    /// Whether the process works.
    Live,
    /// Whether requests may be sent here.
    Ready,
    Metrics,
    /// No path of this endpoint, or a topic that is not served: an answer does not tell these apart.
    Nothing,
}

/// The paths of an endpoint.
#[derive(Debug)]
pub(crate) struct Paths {
    topics: Vec<Arc<str>>,
    /// Further paths, as a request line has them, and the place of their topic.
    routes: Vec<(String, usize)>,
}

/// The paths that are kq's own, besides those of topics.
const PROBES: [(&str, Target); 4] = [
    ("/livez", Target::Live),
    ("/healthz", Target::Live),
    ("/readyz", Target::Ready),
    ("/metrics", Target::Metrics),
];

/// What the path of a topic begins with.
const TOPICS: &str = "/topics/";

/// Whether a path can't be given to a topic by `--route`.
pub(crate) fn is_own(path: &str) -> bool {
    path.starts_with(TOPICS) || PROBES.iter().any(|(probe, _)| *probe == path)
}

impl Paths {
    /// The paths of these topics, and further ones.
    pub(crate) fn new(topics: Vec<Arc<str>>, routes: Vec<(String, usize)>) -> Self {
        Self { topics, routes }
    }

    /// What a request's path, as it came, stands for.
    pub(crate) fn target(&self, path: &str) -> Target {
        let found = self.topic(path).or_else(|| {
            let route = self.routes.iter().find(|(given, _)| given == path);
            route.map(|(_, topic)| Target::Topic { topic: *topic, partition: None })
        });
        let probe = || PROBES.iter().find(|(probe, _)| *probe == path).map(|(_, target)| *target);
        found.or_else(probe).unwrap_or(Target::Nothing)
    }

    /// `/topics/{topic}` and `/topics/{topic}/partitions/{n}`.
    fn topic(&self, path: &str) -> Option<Target> {
        let rest = path.strip_prefix(TOPICS)?;
        let (name, partition) = match rest.split_once('/') {
            None => (rest, None),
            Some((name, rest)) => {
                let number = rest.strip_prefix("partitions/")?;
                let is_number = number.bytes().all(|b| b.is_ascii_digit());
                (name, Some(number.parse().ok().filter(|_| is_number)?))
            }
        };
        let name = percent_decode_str(name).decode_utf8().ok()?;
        let topic = self.topics.iter().position(|served| **served == *name)?;
        Some(Target::Topic { topic, partition })
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn paths() -> Paths {
        let routes = vec![("/".to_owned(), 1), ("/api/v1/data".to_owned(), 0)];
        Paths::new(vec!["a".into(), "b.c-d_e".into()], routes)
    }

    #[test]
    fn a_path_is_a_topic_a_partition_of_it_a_route_or_a_probe() {
        let topic = |topic, partition| Target::Topic { topic, partition };
        for (path, target) in [
            ("/topics/a", topic(0, None)),
            ("/topics/%61", topic(0, None)),
            ("/topics/b.c-d_e", topic(1, None)),
            ("/topics/a/partitions/0", topic(0, Some(0))),
            ("/topics/a/partitions/2147483647", topic(0, Some(i32::MAX))),
            ("/", topic(1, None)),
            ("/api/v1/data", topic(0, None)),
            ("/livez", Target::Live),
            ("/healthz", Target::Live),
            ("/readyz", Target::Ready),
            ("/metrics", Target::Metrics),
        ] {
            assert_eq!(paths().target(path), target, "{path}");
        }
    }

    #[test]
    fn a_topic_that_is_not_served_is_as_a_path_that_is_not_there() {
        for path in [
            "",
            "*",
            "/topics",
            "/topics/",
            "/topics/z",
            "/topics/a/",
            "/topics//a",
            "/topics/a/partitions/",
            "/topics/a/partitions/-1",
            "/topics/a/partitions/+1",
            "/topics/a/partitions/2147483648",
            "/topics/a/partitions/1/",
            "/topics/%ff",
            "/topics/a%2Fpartitions%2F0",
            "/Topics/a",
            "/livez/",
        ] {
            assert_eq!(paths().target(path), Target::Nothing, "{path}");
        }
    }

    #[test]
    fn a_route_can_not_hide_what_is_kqs_own() {
        for path in ["/topics/x", "/livez", "/readyz", "/healthz", "/metrics"] {
            assert!(is_own(path), "{path}");
        }
        assert!(!is_own("/") && !is_own("/topics"));
    }

    proptest! {
        #[test]
        fn a_topic_is_found_however_its_name_is_encoded(topics in prop::collection::vec("[a-zA-Z0-9._-]{1,12}", 1..4)) {
            let paths = Paths::new(topics.iter().map(|name| Arc::from(name.as_str())).collect(), Vec::new());
            for name in &topics {
                let first = topics.iter().position(|other| other == name).unwrap();
                let target = Target::Topic { topic: first, partition: None };
                prop_assert_eq!(paths.target(&format!("/topics/{name}")), target);
                let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
                prop_assert_eq!(paths.target(&format!("/topics/{encoded}")), target);
            }
        }

        #[test]
        fn no_path_panics(path in any::<String>()) {
            paths().target(&path);
            paths().target(&format!("/topics/{path}"));
        }
    }
}
