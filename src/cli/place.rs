//! Which archive is meant, where nobody names it.

use std::env;
use std::path::{Path, PathBuf};

use super::known::{Shown, mounts};
use super::{Failure, Global};
use crate::archive::ArchiveRoot;
use crate::config::Config;
use crate::store;

/// The archive that a command is about: the one that is asked for; else the one that `near`, or else the working folder,
/// lies in, or in a mount of which it lies; else the only one of which anything is known; else the only one that is
/// mounted.
pub fn archive_of(
    global: &Global,
    config: &Config,
    asked: Option<&Path>,
    near: Option<&Path>,
) -> Result<ArchiveRoot, Failure> {
    if let Some(asked) = asked {
        return Ok(ArchiveRoot::new(asked)?);
    }
    // With a store of its own there is no choice.
    if let Some(folder) = global.store.as_ref().or(config.store.as_ref())
        && let Some(archive) = store::archive_of(folder)
    {
        return Ok(ArchiveRoot::new(&archive)?);
    }
    let mounts: Vec<Shown> = mounts().collect();
    let here = env::current_dir().ok();
    for place in near.into_iter().chain(here.as_deref()) {
        if let Some(archive) = around(place, &mounts) {
            return Ok(ArchiveRoot::new(&archive)?);
        }
    }
    let known = store::known_archives();
    match (&known[..], &mounts[..]) {
        ([only], _) => Ok(ArchiveRoot::new(only)?),
        (_, [only]) => Ok(ArchiveRoot::new(&only.archive)?),
        ([], _) => Err("nothing is known of any archive yet: run `drumfs index ARCHIVE` first".into()),
        (several, _) => {
            let several: Vec<String> = several.iter().map(|archive| format!("\n  {}", archive.display())).collect();
            Err(format!("which archive is meant? Give it with --archive:{}", several.concat()).into())
        }
    }
}

/// The archive that a path lies in, or that the mount shows that it lies in.
fn around(path: &Path, mounts: &[Shown]) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let inside = mounts.iter().filter(|mount| real.starts_with(&mount.at));
    if let Some(mount) = inside.max_by_key(|mount| mount.at.components().count()) {
        return Some(mount.archive.clone());
    }
    let has_store = |folder: &&Path| store::default_folder(folder).is_ok_and(|store| store.join("db").exists());
    let own = real.ancestors().find(has_store).map(Path::to_owned);
    // Mounted with a store somewhere else.
    own.or_else(|| mounts.iter().find(|mount| real.starts_with(&mount.archive)).map(|mount| mount.archive.clone()))
}
