//! When the watch looks at the cluster.

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_cluster_that_seems_well_is_looked_at_every_five_seconds() {
    let began = Instant::now();
    let watch = Watch::new(began);
    for quiet in [None, Some(QUIET.saturating_sub(MS))] {
        assert!(!watch.is_due(began + CALM.saturating_sub(MS), quiet, false));
        assert!(watch.is_due(began + CALM, quiet, false));
    }
}

#[test]
fn what_is_suspicious_is_looked_at_soon() {
    let began = Instant::now();
    let watch = Watch::new(began);
    for (quiet, is_doubtful) in [(Some(QUIET), false), (None, true)] {
        assert!(!watch.is_due(began + DOUBTFUL.saturating_sub(MS), quiet, is_doubtful));
        assert!(watch.is_due(began + DOUBTFUL, quiet, is_doubtful));
    }
}

#[test]
fn a_producer_id_is_hurried_for_a_moment_and_then_asked_for_calmly() {
    let mut watch = Watch::new(Instant::now());
    assert_eq!((watch.idle(true), watch.idle(false)), (HURRY, QUIET));
    watch.hurries = HURRIES;
    assert_eq!(watch.idle(true), DOUBTFUL);
    watch.pause = DOUBTFUL;
    assert_eq!(watch.idle(false), DOUBTFUL);
}
