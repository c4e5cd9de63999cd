//! What the system says of a process (Linux' /proc), and where figures are kept.

use std::path::Path;

/// The folder that everything is built in, which cargo made one for temporary files in.
pub(crate) fn target_folder() -> &'static Path {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary)
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
