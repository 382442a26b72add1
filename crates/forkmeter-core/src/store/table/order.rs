//! The order in which the series of a table were made.

/// Stands where a series was that is gone.
const GONE: u32 = u32::MAX;

/// How many gaps are worth the walk that closes them.
const MIN_GAPS: usize = 32;

/// Lists series by age; adding and removing one takes the same time however many there are.
#[derive(Debug, Default)]
pub(super) struct Order {
    ids: Vec<u32>,
    /// Where each series stands in `ids`, by its number; of series that are gone, where they stood.
    positions: Vec<u32>,
    gaps: usize,
    closings: u64,
}

impl Order {
    pub(super) fn len(&self) -> usize {
        self.ids.len() - self.gaps
    }

    /// Returns the number of places: series and gaps.
    pub(super) fn places(&self) -> usize {
        self.ids.len()
    }

    /// Returns how often gaps were closed, which moves series to other places; nothing else does.
    pub(super) fn closings(&self) -> u64 {
        self.closings
    }

    pub(super) fn push(&mut self, id: u32) {
        self.close_gaps();
        let at = id as usize;
        if at >= self.positions.len() {
            self.positions.resize(at + 1, GONE);
        }
        self.positions[at] = position(self.ids.len());
        self.ids.push(id);
    }

    /// Takes out a series that is there.
    pub(super) fn remove(&mut self, id: u32) {
        let position = self.positions[id as usize] as usize;
        self.ids[position] = GONE;
        self.gaps += 1;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.with_gaps().flatten()
    }

    /// Yields what stands in each place.
    pub(super) fn with_gaps(&self) -> impl Iterator<Item = Option<u32>> + Clone {
        self.ids.iter().map(|id| (*id != GONE).then_some(*id))
    }

    /// Takes out the gaps once they are the greater part, so that all of them together cost what removing cost.
    fn close_gaps(&mut self) {
        if self.gaps < MIN_GAPS || self.gaps < self.ids.len() / 2 {
            return;
        }
        self.ids.retain(|id| *id != GONE);
        self.gaps = 0;
        self.closings += 1;
        for (at, id) in self.ids.iter().enumerate() {
            self.positions[*id as usize] = position(at);
        }
    }
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("invariant: so many series fill the memory first")
}
