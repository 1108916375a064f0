//! What validation changed in an event that it accepted, for reports on the quality of data. Costs nothing where there
//! is nothing to tell.

/// One kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Repair {
    /// No time was given: it became that of arrival.
    TimeMissing,
    /// The time was ahead of the server's clock: it became that of arrival. [`Repairs::ahead_ms`] has by how much.
    TimeAhead,
    /// The distinct_id was one that names nobody: the event has no user.
    DistinctIdDenied,
    /// `$user_id` or `$device_id` was such a one: it was passed over.
    IdDenied,
    /// `$insert_id` was missing or names nothing: one was made, and the event is never a duplicate.
    InsertIdMade,
    /// `$insert_id` had other characters or was too long: its hash stands for it.
    InsertIdHashed,
    /// A text was longer than is kept.
    TextCut,
    /// The name of the event or of a property was.
    NameCut,
    /// Values nested too deep became JSON text.
    DepthFlattened,
    /// A list or an object had more elements or bytes than are kept.
    ElementsCut,
    /// Half of a surrogate pair became U+FFFD.
    TextMended,
}

impl Repair {
    /// All kinds there are.
    pub const ALL: [Self; 11] = [
        Self::TimeMissing,
        Self::TimeAhead,
        Self::DistinctIdDenied,
        Self::IdDenied,
        Self::InsertIdMade,
        Self::InsertIdHashed,
        Self::TextCut,
        Self::NameCut,
        Self::DepthFlattened,
        Self::ElementsCut,
        Self::TextMended,
    ];

    /// The word by which it is counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TimeMissing => "time_missing",
            Self::TimeAhead => "time_ahead",
            Self::DistinctIdDenied => "distinct_id_denied",
            Self::IdDenied => "id_denied",
            Self::InsertIdMade => "insert_id_made",
            Self::InsertIdHashed => "insert_id_hashed",
            Self::TextCut => "text_cut",
            Self::NameCut => "name_cut",
            Self::DepthFlattened => "depth_flattened",
            Self::ElementsCut => "elements_cut",
            Self::TextMended => "text_mended",
        }
    }
}

/// The changes to one event, each kind once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repairs {
    set: u16,
    /// How far the time was ahead of arrival, in milliseconds; 0 where it was not.
    pub ahead_ms: i64,
}

impl Repairs {
    pub(crate) fn note(&mut self, repair: Repair) {
        self.set |= 1 << repair as u8;
    }

    /// Whether nothing was changed.
    pub fn is_empty(self) -> bool {
        self.set == 0
    }

    /// Whether this was changed.
    pub fn contains(self, repair: Repair) -> bool {
        self.set & 1 << repair as u8 != 0
    }

    /// What was changed.
    pub fn iter(self) -> impl Iterator<Item = Repair> {
        Repair::ALL.into_iter().filter(move |repair| self.contains(*repair))
    }
}
