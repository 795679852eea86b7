//! The word of the store on a copy of the catalogue: that it is of what the store holds now.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Store, StoreError};

/// Says of a copy of the catalogue that it is of what the store holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 16]);

impl Token {
    /// One that never was.
    pub fn new() -> Self {
        let mut token = [0; 16];
        token.as_chunks_mut::<8>().0.iter_mut().for_each(|half| *half = new_key());
        Self(token)
    }

    /// To be written down.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether there is such a copy, and what is written meanwhile.
#[derive(Debug, Default)]
pub(super) struct Vouched {
    token: Option<Token>,
    /// Raised before and after samples or analyses are written.
    changes: u64,
    /// How many are writing them now.
    writing: u32,
}

impl Vouched {
    /// What the database says.
    pub(super) fn by(word: Option<&[u8]>) -> Self {
        Self { token: word.and_then(|token| token.try_into().ok().map(Token)), ..Self::default() }
    }
}

/// Where the word on a copy of the catalogue is kept.
pub(super) const WORD: &str = "catalogue";

/// Bytes that are never the same twice.
pub(super) fn new_key() -> [u8; 8] {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RandomState::new().hash_one((time, std::process::id())).to_le_bytes()
}

impl Store {
    fn vouched(&self) -> MutexGuard<'_, Vouched> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work`, which writes samples or analyses. Before anything of it can be on the disk, the word on a copy of
    /// the catalogue is taken back there: whatever is lost in a crash, no old copy is taken for a new one.
    pub(super) fn changing<T>(&self, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        {
            let mut vouched = self.vouched();
            vouched.changes += 1;
            if vouched.token.is_some() {
                self.trees()?.meta.remove(WORD).map_err(|error| self.failed(error))?;
                self.flush()?;
                vouched.token = None;
            }
            vouched.writing += 1;
        }
        let done = work();
        if done.is_err() {
            self.unsure.store(true, Ordering::Relaxed);
        }
        let mut vouched = self.vouched();
        vouched.changes += 1;
        vouched.writing -= 1;
        done
    }

    /// What a copy of the catalogue must carry to be one of what the store holds now; none where there is no such copy.
    pub fn token(&self) -> Option<Token> {
        self.vouched().token
    }

    /// A number that is another whenever samples or analyses were written in between.
    pub fn changes(&self) -> u64 {
        self.vouched().changes
    }

    /// Says that a copy of the catalogue that carries `token`, and is on the disk, is of what the store holds, if
    /// nothing was written since [`Store::changes`] was `changes`, and no write failed; whether it now is vouched for.
    ///
    /// # Errors
    /// Where the store can't be written; no copy is vouched for then.
    pub fn vouch(&self, token: Token, changes: u64) -> Result<bool, StoreError> {
        let mut vouched = self.vouched();
        if vouched.writing > 0 || vouched.changes != changes || self.unsure.load(Ordering::Relaxed) {
            return Ok(false);
        }
        self.trees()?.meta.insert(WORD, &token.0).map_err(|error| self.failed(error))?;
        // Whatever happens now, it may be there and has to be taken back.
        vouched.token = Some(token);
        self.flush()?;
        Ok(true)
    }
}
