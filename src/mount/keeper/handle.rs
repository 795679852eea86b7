//! What a keeper can be asked, and everybody else's end of the way to it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::{Keeper, MoveRequest};
use crate::classify::Ensemble;
use crate::index::{Followed, Update};
use crate::mount::errno::FsError;
use crate::rules::{Rules, RulesError};
use crate::store::Word;
use crate::view::{Catalogue, Ino, Sample};

/// How the keeper answers.
pub type Answer = Box<dyn FnOnce(Result<(), FsError>) + Send>;

pub(in crate::mount) enum Message {
    /// Rules that were parsed: put them in force.
    Save { text: String, rules: Box<Rules>, parse: Duration, answer: Answer },
    /// Rules that were refused: keep the draft and say why.
    Refuse { text: String, error: RulesError, answer: Answer },
    /// What people said.
    Override { words: Vec<Word>, answer: Answer },
    /// What was heard, or is known to be missing.
    Heard { updates: Vec<Update> },
    /// Paths whose content is known under another.
    Moved { paths: Vec<Vec<u8>> },
    /// What people said of contents that have another name now.
    Followed { words: Vec<Followed> },
    /// A file that was opened and has another size or time than is known.
    Changed { sample: Arc<Sample>, answer: Answer },
    /// The kernel may have been given bytes of a sample from before it was replaced.
    Stale { ino: Ino },
    /// Show what was heard now, not a moment later.
    Show { answer: Answer },
    /// Look whether calibrations or what was learnt changed on disk, and judge everything anew where they did.
    JudgeAgain { answer: Answer },
    /// Look whether near duplicates were looked for anew, and hide by what was found where the rules say so.
    NearDuplicates,
    /// Say all that is known of what was heard, and what judged it. The channel is closed where that is not sure.
    Known { answer: Sender<(Arc<Catalogue>, Arc<Ensemble>)> },
    /// Answer when everything before is done.
    After { answer: Answer },
    /// Nothing more will come.
    Stop,
}

/// Everybody else's end.
#[derive(Debug, Clone)]
pub struct KeeperHandle {
    sender: Sender<Message>,
    moves: Sender<MoveRequest>,
}

/// What is sent to a keeper.
pub(in crate::mount) struct Inbox {
    pub(super) messages: Receiver<Message>,
    pub(super) moves: Receiver<MoveRequest>,
}

impl KeeperHandle {
    pub(in crate::mount) fn send(&self, message: Message) {
        if let Err(refused) = self.sender.send(message) {
            // The keeper has ended: whoever waits must hear of it.
            match refused.into_inner() {
                Message::Save { answer, .. }
                | Message::Refuse { answer, .. }
                | Message::Override { answer, .. }
                | Message::Changed { answer, .. }
                | Message::Show { answer }
                | Message::JudgeAgain { answer }
                | Message::After { answer } => answer(Err(FsError::Ending)),
                Message::Heard { .. }
                | Message::Moved { .. }
                | Message::Followed { .. }
                | Message::Stale { .. }
                | Message::Known { .. }
                | Message::NearDuplicates
                | Message::Stop => {}
            }
        }
    }

    /// Has a sample moved.
    pub(in crate::mount) fn move_sample(&self, request: MoveRequest) {
        if let Err(refused) = self.moves.send(request) {
            (refused.into_inner().answer)(Err(FsError::Ending));
        }
    }

    /// Hands over what was heard.
    pub fn heard(&self, updates: &[Update]) {
        self.send(Message::Heard { updates: updates.to_vec() });
    }

    /// Hands over paths whose content is known under another.
    pub fn moved(&self, paths: &[Vec<u8>]) {
        self.send(Message::Moved { paths: paths.to_vec() });
    }

    /// Hands over what people said of contents, by the names that these have now.
    pub fn followed(&self, words: &[Followed]) {
        self.send(Message::Followed { words: words.to_vec() });
    }

    /// Waits until everything that was handed over before is shown, or the keeper has ended.
    pub fn settle(&self) {
        let (shown, wait) = bounded(1);
        self.send(Message::Show { answer: Box::new(move |_| _ = shown.send(())) });
        _ = wait.recv();
    }

    /// All that was handed over before, and what judged it; none where the keeper has ended, or lost something.
    pub fn known(&self) -> Option<(Arc<Catalogue>, Arc<Ensemble>)> {
        let (answer, wait) = bounded(1);
        self.send(Message::Known { answer });
        wait.recv().ok()
    }

    /// Has it take up what was found of near duplicates.
    pub fn look_at_near_duplicates(&self) {
        self.send(Message::NearDuplicates);
    }

    /// Ends the keeper when everything before is done.
    pub fn stop(&self) {
        self.send(Message::Stop);
    }
}

impl Keeper {
    /// A channel to a keeper that is not running yet.
    pub(in crate::mount) fn channel() -> (KeeperHandle, Inbox) {
        let ((sender, messages), (mover, moves)) = (unbounded(), unbounded());
        (KeeperHandle { sender, moves: mover }, Inbox { messages, moves })
    }
}
