//! What the system says of a process (Linux' /proc), and where figures are kept.

use std::io;
use std::path::PathBuf;

/// The folder that everything is built in, which holds this program too.
pub(crate) fn target_folder() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    folder.map(PathBuf::from).ok_or_else(|| io::Error::other(format!("{} lies in no target folder of cargo", program.display())))
}

/// A line of /proc/PID/status that is a number of KiB, in bytes; `None` where the system does not say.
pub(crate) fn memory(process: u32, line: Memory) -> Option<u64> {
    let name = match line {
        Memory::Resident => "VmRSS:",
        Memory::Peak => "VmHWM:",
    };
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

/// Which of a process's figures is meant.
#[derive(Debug, Clone, Copy)]
#[allow(dead_code, reason = "not every benchmark asks for both")]
pub(crate) enum Memory {
    /// What is resident now.
    Resident,
    /// The most that has been so far.
    Peak,
}
