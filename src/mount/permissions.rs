//! Who may see what of a mount that other users are let into (`--allow-other`).
//!
//! Nobody gets through the mount what the originals would not give them. A person reads a sample who may read the
//! original and search every folder from `/` down to it. That is checked twice: by the kernel, from the owner and the
//! mode that are told of each sample (`default_permissions`), and here for whoever asks for a name or opens a file.
//! Nothing is kept: owner and mode are asked for at each look, so that a chmod of an original counts at once.
//!
//! Modes and the presence of a POSIX ACL are looked at. What an ACL says in detail is not: a file or folder that has one
//! lets its owner alone.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::attr::Attr;
use crate::archive::ArchiveRoot;

const READ: u16 = 0o4;
const SEARCH: u16 = 0o1;

/// Who makes a request: user, group and thread, as the kernel tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Thread id.
    pub pid: u32,
}

/// What somebody may do with a folder of the archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct May {
    /// Reach what is in it by name: search it and every folder from `/` on.
    pub search: bool,
    /// Come across what is in it: besides, list it and every folder from the archive's root on.
    pub list: bool,
}

/// A user with all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    uid: u32,
    gid: u32,
    /// Supplementary groups; none where they are not known.
    groups: Option<Vec<u32>>,
}

impl Who {
    /// Whoever asks, with the groups that /proc tells of them.
    pub fn asks(asker: Asker) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{}/status", asker.pid)).unwrap_or_default();
        Self { uid: asker.uid, gid: asker.gid, groups: groups_of(&text, asker) }
    }

    /// The user of this process.
    fn me() -> Self {
        // SAFETY: these have no preconditions; getgroups with room for none only counts.
        let (uid, gid, count) = unsafe { (libc::geteuid(), libc::getegid(), libc::getgroups(0, std::ptr::null_mut())) };
        let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
        // SAFETY: there is room for as many groups as are said to be there.
        let count = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
        groups.truncate(usize::try_from(count).unwrap_or(0));
        Self { uid, gid, groups: Some(groups) }
    }

    /// Whether they are in a group; none where that is not known.
    fn is_in(&self, group: u32) -> Option<bool> {
        if self.gid == group {
            return Some(true);
        }
        self.groups.as_ref().map(|groups| groups.contains(&group))
    }
}

/// The supplementary groups in a text of /proc/PID/status (proc_pid_status(5)), if it is of whoever asks: the last of
/// the four ids is the one that counts for files.
fn groups_of(status: &str, asker: Asker) -> Option<Vec<u32>> {
    let ids = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().map(|id| id.parse().ok()).collect::<Option<Vec<u32>>>()
    };
    let is = |key: &str, id: u32| ids(key).is_some_and(|ids| ids.get(3) == Some(&id));
    (is("Uid:", asker.uid) && is("Gid:", asker.gid)).then(|| ids("Groups:")).flatten()
}

/// What one file or folder lets each class of people do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guard {
    uid: u32,
    gid: u32,
    /// Permission bits; the owner's alone where there is an ACL.
    mode: u16,
}

impl Guard {
    fn new(metadata: &Metadata, has_acl: bool) -> Self {
        let mode = (metadata.mode() & 0o777) as u16;
        Self { uid: metadata.uid(), gid: metadata.gid(), mode: if has_acl { mode & 0o700 } else { mode } }
    }

    fn of(file: &File) -> io::Result<Self> {
        Ok(Self::new(&file.metadata()?, has_acl(file)))
    }

    fn user(self, bits: u16) -> bool {
        (self.mode >> 6) & bits == bits
    }

    fn group(self, bits: u16) -> bool {
        (self.mode >> 3) & bits == bits
    }

    fn other(self, bits: u16) -> bool {
        self.mode & bits == bits
    }

    /// Whether somebody who is not the owner is let, whatever groups they are in.
    fn any_other(self, bits: u16) -> bool {
        self.group(bits) && self.other(bits)
    }

    /// Whether a person is let: the class they are in decides alone, as path_resolution(7) says.
    fn admits(self, who: &Who, bits: u16) -> bool {
        if who.uid == self.uid {
            return self.user(bits);
        }
        match who.is_in(self.gid) {
            Some(true) => self.group(bits),
            Some(false) => self.other(bits),
            None => self.any_other(bits),
        }
    }
}

/// Owner, group and mode to tell of a file that lies behind `guards`, of which the last is its own: each class gets the
/// right to read only where everybody in it has it. `uid` and `gid` say who the first two classes are.
fn reported(guards: &[Guard], uid: u32, gid: u32) -> u16 {
    let last = guards.len().saturating_sub(1);
    let (mut user, mut group, mut other) = (!guards.is_empty(), !guards.is_empty(), !guards.is_empty());
    for (place, guard) in guards.iter().enumerate() {
        let bits = if place == last { READ } else { SEARCH };
        let same_group = guard.gid == gid;
        user &= if guard.uid == uid { guard.user(bits) } else { guard.any_other(bits) };
        // The owner of this one may be in either of the other classes.
        let owner = guard.uid == uid || guard.user(bits);
        group &= owner && if same_group { guard.group(bits) } else { guard.any_other(bits) };
        other &= owner && if same_group { guard.other(bits) } else { guard.any_other(bits) };
    }
    u16::from(user) << 8 | u16::from(group) << 5 | u16::from(other) << 2
}

/// Owner, group and mode that give the most people what they have: those of the file where nothing is lost by them, else
/// an owner and a group of what is on the way, say of the one folder that not everybody may enter.
fn told(guards: &[Guard]) -> Option<Guard> {
    let last = guards.last()?;
    let gain = |guard: &Guard| (guard.other(READ), guard.group(READ), guard.user(READ));
    let mut best = Guard { mode: reported(guards, last.uid, last.gid), ..*last };
    for uid in guards.iter().map(|guard| guard.uid) {
        for gid in guards.iter().map(|guard| guard.gid) {
            let guard = Guard { uid, gid, mode: reported(guards, uid, gid) };
            if best.mode != 0o444 && gain(&guard) > gain(&best) {
                best = guard;
            }
        }
    }
    Some(best)
}

/// The rights to the originals of an archive.
#[derive(Debug)]
pub struct Permissions {
    root: Arc<ArchiveRoot>,
    me: Who,
}

impl Permissions {
    /// Those of the archive at `root`, mounted by the user of this process.
    pub fn new(root: Arc<ArchiveRoot>) -> Self {
        Self { root, me: Who::me() }
    }

    /// Whether somebody is not asked for rights here: who mounted, whose rights drumfs has, and root, whom the kernel
    /// lets.
    pub fn trusts(&self, asker: Asker) -> bool {
        asker.uid == self.me.uid || asker.uid == 0
    }

    /// Everything on the way to a path of the archive, from `/` on: the last is of the path itself. The root of the
    /// archive where the path is empty.
    fn guards(&self, relative: &[u8]) -> io::Result<Vec<Guard>> {
        let mut guards = Vec::new();
        let mut above: Vec<_> = self.root.path().ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
            guards.push(Guard::of(&File::options().read(true).custom_flags(flags).open(folder)?)?);
        }
        self.root.steps(relative, &mut |step| {
            guards.push(Guard::of(step)?);
            Ok(())
        })?;
        Ok(guards)
    }

    /// The attributes of a sample as other users may be told them: owner and mode of the original, narrowed by its
    /// folders; nothing of it is kept by the kernel.
    pub fn narrow(&self, path: &[u8], attr: Attr) -> Attr {
        let attr = |guard: Guard| Attr {
            owner: Some((guard.uid, guard.gid)),
            perm: guard.mode,
            attr_ttl: Duration::ZERO,
            ..attr
        };
        let guards = self.guards(path).unwrap_or_default();
        // One that can't be looked at is the mounting user's to find out about.
        let Some(guard) = told(&guards) else {
            return attr(Guard { uid: self.me.uid, gid: self.me.gid, mode: 0o400 });
        };
        if self.me.uid == 0 || guard.admits(&self.me, READ) || self.root.open(path).is_err() {
            return attr(guard);
        }
        // The mounting user may read it by a right that modes alone don't prove, of a group or an ACL, say.
        let mode = 0o400 | reported(&guards, self.me.uid, guard.gid) & 0o044;
        attr(Guard { uid: self.me.uid, mode, ..guard })
    }

    /// What a person may do with a folder of the archive.
    pub fn folder(&self, relative: &[u8], who: &Who) -> May {
        let Ok(guards) = self.guards(relative) else { return May::default() };
        let search = guards.iter().all(|guard| guard.admits(who, SEARCH));
        let above = self.root.path().ancestors().skip(1).count();
        May { search, list: search && guards.iter().skip(above).all(|guard| guard.admits(who, READ)) }
    }

    /// The first folder on the way to the archive that not everybody may enter, or the archive's root where not
    /// everybody may list it: others will see few samples, or none.
    pub fn closed_at(&self) -> Option<PathBuf> {
        let guards = self.guards(b"").unwrap_or_default();
        let mut folders: Vec<_> = self.root.path().ancestors().collect();
        folders.reverse();
        let open = |place: usize| {
            let bits = if place + 1 == folders.len() { READ | SEARCH } else { SEARCH };
            guards.get(place).is_some_and(|guard| guard.any_other(bits))
        };
        let closed = (0..folders.len()).find(|place| !open(*place))?;
        folders.get(closed).map(|folder| (*folder).to_owned())
    }

    /// Whether a person may read an original that was opened from this path.
    pub fn lets_read(&self, relative: &[u8], file: &File, who: &Who) -> bool {
        let folder = relative.iter().rposition(|&b| b == b'/').map_or(&b""[..], |slash| &relative[..slash]);
        self.folder(folder, who).search && Guard::of(file).is_ok_and(|guard| guard.admits(who, READ))
    }
}

/// Whether a file or folder has a POSIX ACL that its mode does not tell. Where that can't be found out it is taken to
/// have one.
fn has_acl(file: &File) -> bool {
    let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    // SAFETY: both strings end in NUL and outlive the call; with no room given only the length is told.
    let len =
        unsafe { libc::getxattr(path.as_ptr().cast(), c"system.posix_acl_access".as_ptr(), std::ptr::null_mut(), 0) };
    len >= 0 || !matches!(io::Error::last_os_error().raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(uid: u32, gid: u32, mode: u16) -> Guard {
        Guard { uid, gid, mode }
    }

    /// Every combination of owners, groups and modes on a way of three: whoever the reported mode lets read could read
    /// by going that way.
    #[test]
    fn nobody_is_told_more_than_the_way_to_the_original_gives() {
        let modes = [0o777, 0o755, 0o750, 0o711, 0o710, 0o700, 0o077, 0o070, 0o007, 0o705, 0o650, 0o644, 0o640, 0o604];
        let ids = [1, 2];
        let people: Vec<Who> = [1, 2, 3]
            .into_iter()
            .flat_map(|uid| [vec![1], vec![2], vec![3], vec![1, 2]].map(|groups| (uid, groups)))
            .map(|(uid, groups)| Who { uid, gid: groups[0], groups: Some(groups) })
            .collect();
        let guards: Vec<Guard> = modes
            .into_iter()
            .flat_map(|mode| ids.into_iter().flat_map(move |uid| ids.into_iter().map(move |gid| guard(uid, gid, mode))))
            .collect();
        let (mut let_in, mut held) = (0, 0);
        for &outer in &guards {
            for &inner in &guards {
                for &file in &guards {
                    let way = [outer, inner, file];
                    let shown = told(&way).unwrap();
                    for shown in [shown, guard(3, shown.gid, reported(&way, 3, shown.gid))] {
                        assert_eq!(shown.mode & !0o444, 0);
                        for who in &people {
                            let could =
                                outer.admits(who, SEARCH) && inner.admits(who, SEARCH) && file.admits(who, READ);
                            let is_told = shown.admits(who, READ);
                            assert!(could || !is_told, "{way:?} as {shown:?} for {who:?}");
                            let_in += u32::from(is_told);
                            held += u32::from(could);
                        }
                    }
                }
            }
        }
        // Much of what could be read is, though the modes are odd ones.
        assert!(let_in * 3 > held, "{let_in} of {held}");
    }

    #[test]
    fn what_is_usual_is_told_as_it_is() {
        let home = guard(5, 5, 0o755);
        assert_eq!(reported(&[guard(0, 0, 0o755), home, guard(5, 5, 0o644)], 5, 5), 0o444);
        assert_eq!(reported(&[guard(0, 0, 0o755), home, guard(5, 5, 0o640)], 5, 5), 0o440);
        assert_eq!(reported(&[guard(0, 0, 0o755), guard(5, 5, 0o750), guard(5, 5, 0o644)], 5, 5), 0o440);
        assert_eq!(reported(&[guard(0, 0, 0o755), guard(5, 5, 0o700), guard(5, 5, 0o644)], 5, 5), 0o400);
        // A file of somebody else's in a folder of theirs: the folder decides.
        let way = [guard(0, 0, 0o755), guard(5, 6, 0o750), guard(0, 0, 0o644)];
        assert_eq!(told(&way), Some(guard(5, 6, 0o440)));
    }

    #[test]
    fn whoever_is_in_unknown_groups_gets_what_both_classes_have() {
        let who = Who { uid: 3, gid: 3, groups: None };
        assert!(guard(1, 1, 0o044).admits(&who, READ));
        assert!(!guard(1, 1, 0o004).admits(&who, READ) && !guard(1, 1, 0o040).admits(&who, READ));
        assert!(guard(1, 3, 0o040).admits(&who, READ) && !guard(3, 1, 0o044).admits(&who, READ));
    }

    #[test]
    fn groups_are_believed_of_whoever_asks_alone() {
        let text = "Name:\tls\nUid:\t7\t7\t7\t8\nGid:\t7\t7\t7\t9\nGroups:\t4 24 27 \n";
        let asker = Asker { uid: 8, gid: 9, pid: 1 };
        assert_eq!(groups_of(text, asker), Some(vec![4, 24, 27]));
        assert_eq!(groups_of(text, Asker { uid: 7, ..asker }), None);
        assert_eq!(groups_of("", asker), None);
    }

    #[test]
    fn this_process_is_who_it_is() {
        let me = Who::me();
        let asker = Asker { uid: me.uid, gid: me.gid, pid: std::process::id() };
        assert_eq!(Who::asks(asker), me);
    }
}
