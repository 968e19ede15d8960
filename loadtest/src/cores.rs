//! Which cores programs run on, so that two runs differ in nothing but what is compared.

use std::io;

/// Cores of this machine, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(Vec<usize>);

impl Cores {
    /// Those that this thread may use, in two halves; both the same one where there is only one. The first half is the smaller.
    pub fn halves() -> io::Result<(Self, Self)> {
        let all = affinity::get()?;
        let (one, other) = all.split_at(all.len() / 2);
        let one = if one.is_empty() { other } else { one };
        Ok((Self(one.to_vec()), Self(other.to_vec())))
    }

    /// Until the guard is dropped, this thread and whatever it starts run on these cores. What was started then stays there.
    pub fn pin(&self) -> io::Result<Pinned> {
        let before = affinity::get()?;
        affinity::set(&self.0)?;
        Ok(Pinned(before))
    }
}

/// Where a thread ran before it was pinned.
#[derive(Debug)]
pub struct Pinned(Vec<usize>);

impl Drop for Pinned {
    fn drop(&mut self) {
        // Those were its own a moment ago; should they be refused now, it stays where it is.
        drop(affinity::set(&self.0));
    }
}

#[cfg(target_os = "linux")]
mod affinity {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn get() -> io::Result<Vec<usize>> {
        let set = sched_getaffinity(None)?;
        Ok((0..CpuSet::MAX_CPU)
            .filter(|&core| set.is_set(core))
            .collect())
    }

    pub(super) fn set(cores: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        for &core in cores {
            set.set(core);
        }
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod affinity {
    use std::io;

    fn absent() -> io::Error {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "programs are pinned to cores on Linux only",
        )
    }

    pub(super) fn get() -> io::Result<Vec<usize>> {
        Err(absent())
    }

    pub(super) fn set(_cores: &[usize]) -> io::Result<()> {
        Err(absent())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_thread_and_what_it_starts_are_pinned_and_let_go_again() {
        let before = affinity::get().unwrap();
        let (one, other) = Cores::halves().unwrap();
        assert!(before.len() == 1 || [&one.0[..], &other.0].concat() == before);
        let pinned = one.pin().unwrap();
        assert_eq!(affinity::get().unwrap(), one.0);
        let inherited = std::thread::spawn(|| affinity::get().unwrap());
        assert_eq!(inherited.join().unwrap(), one.0);
        drop(pinned);
        assert_eq!(affinity::get().unwrap(), before);
    }
}
