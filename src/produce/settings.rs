//! What one run of `kq produce` is to do, as the engine takes it.

use super::input::Input;
use crate::named::Named;
use crate::sending;

/// The settings of one run: checked, and parsed.
pub(crate) struct Settings {
    pub topic: String,
    /// What is noted of the topic once it was found.
    pub note: Option<String>,
    /// What is read, in order; never empty.
    pub inputs: Vec<Input>,
    /// What ends a record; empty: nothing does, an input is one record.
    pub delimiter: Vec<u8>,
    /// Empty records are left out.
    pub skip_empty: bool,
    pub on_invalid: OnInvalid,
    /// The partition of every record.
    pub partition: Option<i32>,
    /// Records of the JSON form keep their own partition.
    pub keep_partition: bool,
    /// Records of the JSON form keep their own topic.
    pub topic_from_record: bool,
    /// How many bytes of a frame a byte of its record may take: 1 but where the value is compressed, or
    /// the frame is JSON.
    pub frame_factor: usize,
    /// Bytes of a frame that are in no record: what separates key and value, what stands for null.
    pub frame_besides: usize,
    pub count: Option<u64>,
    /// Records a second, at most.
    pub rate: Option<f64>,
    /// What is said of each acknowledged record, on stdout.
    pub report: Option<Report>,
    pub producer: sending::settings::Settings,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// A JSON object a line.
    Json,
}

impl Named for Report {
    const ALL: &'static [Self] = &[Self::Json];

    fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
        }
    }
}

/// What happens to the input after a line that is no valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInvalid {
    /// Nothing more is read.
    Stop,
    /// It is reported and counted, and the next one is read.
    Skip,
}

impl Named for OnInvalid {
    const ALL: &'static [Self] = &[Self::Stop, Self::Skip];

    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
        }
    }
}
