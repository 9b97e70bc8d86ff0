//! (being written)
pub struct JsonRecord {
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<crate::record::OwnedHeader>,
}
pub fn parse_json(_line: &[u8]) -> anyhow::Result<JsonRecord> {
    anyhow::bail!("being written")
}
