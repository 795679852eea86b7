//! Which samples are the same sound: exactly, by their content, and nearly, by what they sound like apart from level,
//! trim, sample rate and format.
//!
//! Near ones are looked for in three steps, each of which asks more of fewer pairs. [`Outline`] is what is kept of each
//! content: the beginning of its spectrum and of its waveform, 130 bytes. [`candidates`] finds pairs of outlines that are
//! alike without comparing all with all. [`Ear::likeness`] compares two waveforms, aligned, band by band: another hit of
//! the same drum is alike in the low bands and another noise in the high ones, which is what keeps velocity layers and
//! round robins apart.

mod alike;
mod candidates;
mod compare;
mod kept;
mod outline;
mod search;

pub use alike::{read as read_alike, write as write_alike};
pub use candidates::candidates;
pub use compare::{Ear, Excerpt};
pub use kept::Kept;
pub use outline::{Outline, Outliner};
pub use search::{Exact, Near, NearGroup, Search, SearchError, Step, exact};
