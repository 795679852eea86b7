//! Answers a list of files with their records, in order: what runs under engines that spread work over processes and
//! machines. Keeps no store; what it answers is what `index.jsonl` would say.
//!
//! [`Input`] reads the list, [`Shard`] leaves out what others answer, [`Answerer`] makes a record of one line, and
//! [`run`] does so with several threads and keeps the order.

mod answer;
mod input;
mod run;
mod shard;

pub use answer::Answerer;
pub use input::{Form, Input, Line, listed};
pub use run::{Answered, Error, Options, run};
pub use shard::{Shard, ShardError};
