//! `catalogue.bin`: a copy of the catalogue beside the store, so that a mount need not read a million analyses to
//! begin.
//!
//! It holds nothing that the store does not. It is used where the store vouches for it ([`Store::token`]), where what
//! judged it is what judges now, and where nothing in it is damaged; in every other case it is passed over, and the
//! catalogue is made anew from the store.
//!
//! ```text
//! magic 8 | version 4 | token 16 | judgement 16 | number of parts 4 | per part: length 4, XXH3 8 | XXH3 of all that 8
//! parts, each as `view::packed` writes it
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::{Progress, join};
use crate::classify::Ensemble;
use crate::store::{Store, StoreError, Token};
use crate::view::{Catalogue, Packed};

/// The name of the copy in a store's folder.
pub const NAME: &str = "catalogue.bin";

const MAGIC: [u8; 8] = *b"drumfs\0c";

/// Raised where the format changes, or what [`super::judge`] or [`super::join`] makes of the same records.
const VERSION: u32 = 1;

const FIXED: usize = 8 + 4 + 16 + 16 + 4;
const PART: usize = 4 + 8;

/// No part is longer, in bytes: a length that a damaged file gives is not believed.
const MAX_PART: usize = 256 << 20;

/// Between two copies lies at least so many times the time that it takes to write one.
const REST: u32 = 100;

fn header(token: Token, ensemble: &Ensemble, parts: &[(u32, u64)]) -> Vec<u8> {
    let mut header = Vec::with_capacity(FIXED + parts.len() * PART + 8);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(token.as_bytes());
    header.extend_from_slice(&ensemble.judgement_id().to_le_bytes());
    header.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    for (len, sum) in parts {
        header.extend_from_slice(&len.to_le_bytes());
        header.extend_from_slice(&sum.to_le_bytes());
    }
    let sum = xxh3_64(&header);
    header.extend_from_slice(&sum.to_le_bytes());
    header
}

/// The copy of the catalogue that the store vouches for and `ensemble` judged; none where there is none.
pub fn read(store: &Store, ensemble: &Ensemble) -> Option<Catalogue> {
    let token = store.token()?;
    match read_file(&store.folder().join(NAME), token, ensemble) {
        Ok(catalogue) => Some(catalogue),
        Err(why) => {
            log::info!("{} is passed over, and the catalogue is read from the store: {why}", NAME);
            None
        }
    }
}

fn read_file(path: &Path, token: Token, ensemble: &Ensemble) -> Result<Catalogue, String> {
    let failed = |error: io::Error| error.to_string();
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let mut fixed = [0; FIXED];
    file.read_exact_at(&mut fixed, 0).map_err(failed)?;
    let (fixed_start, count) = fixed.split_at(FIXED - 4);
    if *fixed_start != header(token, ensemble, &[])[..FIXED - 4] {
        return Err("it is of another version, of another state of the store, or judged by other models".to_owned());
    }
    let count = count.try_into().map_or(0, u32::from_le_bytes) as usize;
    let end = (FIXED + count * PART + 8) as u64;
    if end > len {
        return Err("its header is damaged".to_owned());
    }
    let mut table = vec![0; count * PART + 8];
    file.read_exact_at(&mut table, FIXED as u64).map_err(failed)?;
    let mut parts = Vec::with_capacity(count);
    for part in table.as_chunks::<PART>().0.iter().take(count) {
        let (len, sum) = part.split_at(4);
        let of = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        parts.push((of(len) as u32, of(sum)));
    }
    if header(token, ensemble, &parts)[FIXED..] != table {
        return Err("its header is damaged".to_owned());
    }
    let mut at = end;
    let mut places = Vec::with_capacity(count);
    for (len, sum) in parts {
        places.push((at, len as usize, sum));
        at += u64::from(len);
    }
    if at != len {
        return Err(format!("it has {len} bytes instead of {at}"));
    }
    let one = |(at, len, sum): (u64, usize, u64)| {
        if len > MAX_PART {
            return Err("a part of it is damaged".to_owned());
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, at).map_err(failed)?;
        let part = (xxh3_64(&bytes) == sum).then(|| Packed::read(&bytes)).flatten();
        part.ok_or_else(|| "a part of it is damaged".to_owned())
    };
    let parts: Result<Vec<Packed>, String> = places.into_par_iter().map(one).collect();
    let parts = parts?;
    crate::memory::give_back();
    Catalogue::unpacked(parts).ok_or_else(|| "its parts do not go together".to_owned())
}

/// Writes copies of the catalogue, not too often.
#[derive(Debug)]
pub struct Keeping {
    /// [`Store::changes`] at the last copy.
    kept: Option<u64>,
    /// Before this no other is written.
    not_before: Option<Instant>,
}

impl Keeping {
    /// For a store that was just opened.
    pub fn new(store: &Store) -> Self {
        Self { kept: store.token().map(|_| store.changes()), not_before: None }
    }

    /// Whether a copy is due: something changed, and the last one was a while ago or this is the `last` one.
    pub fn is_due(&self, store: &Store, last: bool) -> bool {
        self.kept != Some(store.changes()) && (last || self.not_before.is_none_or(|time| Instant::now() >= time))
    }

    /// Writes a copy of a catalogue that holds all that was in the store when [`Store::changes`] was `changes`, as
    /// `ensemble` judges it. What goes wrong costs the next mount some seconds, and is logged.
    pub fn keep(&mut self, store: &Store, ensemble: &Ensemble, catalogue: &Catalogue, changes: u64) {
        let started = Instant::now();
        match write(store, ensemble, catalogue, changes) {
            Ok(true) => {
                self.kept = Some(changes);
                log::debug!("{} samples were written to {NAME} in {:?}", catalogue.samples().len(), started.elapsed());
            }
            Ok(false) => log::debug!("the store changed while {NAME} was written"),
            Err(error) => log::warn!("{NAME} could not be written, so the next start takes longer: {error}"),
        }
        self.not_before = Some(Instant::now() + started.elapsed().max(Duration::from_millis(1)) * REST);
    }
}

/// What a pass without a mount touches, so that the copy of the catalogue can be brought up to date after it.
#[derive(Debug)]
pub struct Following {
    token: Option<Token>,
    changes: u64,
    /// The paths; none where they are too many to be worth it.
    touched: Option<BTreeSet<Vec<u8>>>,
}

/// From so many changes on, reading everything costs little more.
const MANY: usize = 50_000;

impl Following {
    /// To be made before the pass.
    pub fn new(store: &Store) -> Self {
        Self { token: store.token(), changes: store.changes(), touched: Some(BTreeSet::new()) }
    }

    /// Takes note of what a pass tells.
    pub fn follow(&mut self, progress: &Progress<'_>) {
        let Some(touched) = &mut self.touched else { return };
        match progress {
            Progress::Recorded(updates) => touched.extend(updates.iter().map(|update| update.path.clone())),
            Progress::Moved(paths) => touched.extend(paths.iter().cloned()),
            Progress::Planned { .. } | Progress::Followed(_) => {}
        }
        if touched.len() > MANY {
            self.touched = None;
        }
    }

    /// Writes the copy of the catalogue where there is none of what the store holds now.
    ///
    /// # Errors
    /// Where the store can't be read, or the copy can't be written.
    pub fn keep(self, store: &Store, ensemble: &Ensemble) -> Result<(), StoreError> {
        let changes = store.changes();
        let usable = |token| read_file(&store.folder().join(NAME), token, ensemble).ok();
        if self.token.is_some() && changes == self.changes {
            return Ok(());
        }
        let before = self.token.zip(self.touched).and_then(|(token, touched)| Some((usable(token)?, touched)));
        let catalogue = match before {
            Some((before, touched)) => join::refreshed(&before, store, ensemble, touched)?,
            None => join::load_from_store(store, ensemble)?,
        };
        write(store, ensemble, &catalogue, changes).map(drop)
    }
}

/// Writes a copy of the catalogue, and lets the store vouch for it; whether it does.
///
/// # Errors
/// Where a file can't be written.
pub fn write(store: &Store, ensemble: &Ensemble, catalogue: &Catalogue, changes: u64) -> Result<bool, StoreError> {
    if store.changes() != changes {
        return Ok(false);
    }
    let path = store.folder().join(NAME);
    let fresh = store.folder().join(format!("{NAME}.new"));
    let token = Token::new();
    let written = write_file(&fresh, token, ensemble, catalogue).and_then(|()| {
        fs::rename(&fresh, &path)?;
        File::open(store.folder())?.sync_all()
    });
    if let Err(error) = written {
        drop(fs::remove_file(&fresh));
        return Err(StoreError::io(&path, error));
    }
    store.vouch(token, changes)
}

fn write_file(path: &Path, token: Token, ensemble: &Ensemble, catalogue: &Catalogue) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let packed = catalogue.packed();
    let mut out = BufWriter::with_capacity(1 << 20, file);
    out.seek(SeekFrom::Start((FIXED + packed.len() * PART + 8) as u64))?;
    let mut parts = Vec::with_capacity(packed.len());
    for part in packed {
        let len = u32::try_from(part.len()).map_err(|_| io::Error::other("a part is too long"))?;
        parts.push((len, xxh3_64(&part)));
        out.write_all(&part)?;
    }
    out.seek(SeekFrom::Start(0))?;
    out.write_all(&header(token, ensemble, &parts))?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
