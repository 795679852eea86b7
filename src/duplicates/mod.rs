//! Which samples are the same sound: exactly, by their content, and nearly, by what they sound like apart from level,
//! trim, sample rate and format.
//!
//! Near ones are looked for in three steps, each of which asks more of fewer pairs. [`Outline`] is what is kept of each
//! content: the beginning of its spectrum and of its waveform, 130 bytes. [`candidates`] finds pairs of outlines that are
//! alike without comparing all with all. [`Ear::likeness`] compares two waveforms, aligned, band by band: another hit of
//! the same drum is alike in the low bands and another noise in the high ones, which is what keeps velocity layers and
//! round robins apart. What it said of two contents is kept ([`Likenesses`]), so that no two are compared twice.

mod alike;
mod candidates;
mod compare;
mod comparing;
mod groups;
mod hearing;
mod kept;
mod likenesses;
mod outline;
mod sealed;
mod search;

/// How like each other two sounds have to be where nobody says otherwise.
pub const LIKENESS: f32 = 0.93;

pub use alike::{LastFound, likeness as last_likeness, read as read_alike, write as write_alike};
pub use candidates::{Candidates, candidates};
pub use compare::{Ear, Excerpt};
pub use kept::Kept;
pub use likenesses::Likenesses;
pub use outline::{Outline, Outliner};
pub use search::{Exact, Near, NearGroup, Search, SearchError, Step, exact};
