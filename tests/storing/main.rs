//! What the store promises: one owner, nothing acknowledged is lost, and a way out of every damage.

mod child;
mod damage;
mod full_disk;
mod kill;
mod opening;
#[path = "../support/mod.rs"]
mod support;
