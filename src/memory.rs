//! Memory that is free again and that the allocator keeps.

/// Gives memory back to the system after work that took much for a while: a walk over a million files, the reading of a
/// catalogue. glibc's allocator keeps it otherwise; with any other this does nothing.
pub(crate) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim has no preconditions and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
