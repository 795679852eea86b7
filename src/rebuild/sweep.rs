//! Takes away what runs that were killed had not finished.

use std::collections::BTreeSet;

use super::disk::Root;
use super::ledger::{Ledger, key};
use super::link::is_unfinished;
use super::plan::Plan;

/// Removes files that a run which was killed had not finished.
pub(super) fn sweep(root: &Root, ledger: &Ledger, plan: &Plan<'_>) {
    let of_log = ledger.folders.keys().map(|folder| &folder[..]);
    let of_entries = ledger.entries.iter().map(|entry| key(&entry.path).0);
    let of_plan = plan.folders.iter().map(|folder| &folder.path[..]);
    let folders: BTreeSet<&[u8]> = of_log.chain(of_entries).chain(of_plan).chain([&b""[..]]).collect();
    sweep_folders(root, &folders);
}

/// Removes what a run that was killed had not finished in these folders.
pub(super) fn sweep_folders(root: &Root, folders: &BTreeSet<&[u8]>) {
    for path in folders {
        let Ok(folder) = root.folder(path) else { continue };
        for name in root.names(path).unwrap_or_default().iter().filter(|name| is_unfinished(name)) {
            drop(folder.remove(name));
        }
    }
}
