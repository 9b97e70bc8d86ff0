//! Closed lists of values that have a name: in flags, in the client's properties. Pure: no clock, no IO.

/// A value of a closed list. Flags, help, completions and parsing all read the one list.
pub(crate) trait Named: Copy + 'static {
    /// Every value, in the order in which help lists them.
    const ALL: &'static [Self];

    /// The name of this value.
    fn name(self) -> &'static str;

    /// The value of this name.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}
