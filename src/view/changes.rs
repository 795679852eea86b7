//! Which names stand for something else in the next view: what whoever remembers names must forget.

use std::cmp::Ordering;

use super::ino::Ino;
use super::tree::{DirId, Node, View};

/// Tells every name of `before` that is gone in `after` or stands for something else there, folder by folder, as the
/// folder's inode number and the name. Folders for which `asked` says no are passed over, and so are the files that
/// drumfs makes, whose names nobody remembers.
///
/// Names that are new in `after` are not told: nobody remembers that a name is not there.
pub fn changed_names(before: &View, after: &View, asked: impl Fn(Ino) -> bool, mut tell: impl FnMut(Ino, &[u8])) {
    for dir in before.dirs() {
        let ino = before.ino(Node::Dir(dir));
        if asked(ino) {
            changed_names_in(before, after, dir, |name| tell(ino, name));
        }
    }
}

/// The same for one folder of `before`.
pub fn changed_names_in(before: &View, after: &View, dir: DirId, mut tell: impl FnMut(&[u8])) {
    let remembered = |node: Node| !matches!(node, Node::Generated(_));
    let Some(now) = after.dir_by_ino(before.ino(Node::Dir(dir))) else {
        return before.entries(dir).filter(|(_, node)| remembered(*node)).for_each(|(name, _)| tell(&name));
    };
    if before.digest(dir) == after.digest(now) {
        return;
    }
    // Both are ordered by name.
    let mut new = after.entries(now).peekable();
    for (name, node) in before.entries(dir).filter(|(_, node)| remembered(*node)) {
        let same = loop {
            match new.peek().map(|(other, _)| other.as_ref().cmp(name.as_ref())) {
                Some(Ordering::Less) => _ = new.next(),
                Some(Ordering::Equal) => {
                    break new.next().is_some_and(|(_, other)| after.ino(other) == before.ino(node));
                }
                Some(Ordering::Greater) | None => break false,
            }
        };
        if !same {
            tell(&name);
        }
    }
}
