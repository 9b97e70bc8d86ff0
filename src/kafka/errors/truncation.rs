//! Where a log was cut, read from librdkafka's words. Pure: no clock, no IO.

/// Where the log was cut, by the client's words for a truncation (KIP-320); `Some(-1)` where no record
/// that was there before is there now. The records from there on are not those that were read.
pub(crate) fn truncated_at(reason: &str) -> Option<i64> {
    let (before, after) = reason.split_once("broker end offset is ")?;
    if !before.contains("truncation detected") && !before.contains("No epoch found") {
        return None;
    }
    let end = after.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(after.len());
    after[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_log_was_cut_is_read_from_the_clients_words() {
        let cut = "Local: Partition log truncation detected by consumer: Partition log truncation detected at \
                   offset 100 (leader epoch 3): broker end offset is 90 (offset leader epoch 2). Reset to INVALID.";
        assert_eq!(truncated_at(cut), Some(90));
        let other = "No epoch found less or equal to offset 7 (leader epoch 1): broker end offset is -1 \
                     (offset leader epoch -1). Reset using configured policy.";
        assert_eq!(truncated_at(other), Some(-1));
        assert_eq!(truncated_at("fetch failed due to requested offset not available on the broker"), None);
    }
}
