//! Disks of a test: small ones that fill up, and ones that fail. They are mounted where nobody else
//! sees them, in a mount namespace that goes with the process that keeps it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::house::{Server, cheap, gatelodge};

/// A disk at a folder that is empty for everybody else.
pub struct Disk {
    keeper: Child,
    folder: TempDir,
    _image: TempDir,
}

/// Makes what `$2` is mounted from, mounts it on `$1`, and waits.
const TMPFS: &str = "mount -t tmpfs -o size=\"$2\" tmpfs \"$1\" && echo ready && exec sleep 900";
const EXT4: &str = "truncate -s \"$2\" \"$3\" && mkfs.ext4 -q \"$3\" && \
     mount -o loop,errors=remount-ro \"$3\" \"$1\" && echo ready && exec sleep 900";

impl Disk {
    /// Memory of a bounded size; `None` where only root may.
    pub fn small(size: &str) -> Option<Self> {
        Self::kept(TMPFS, size)
    }

    /// A file system of its own on a file, which the kernel gives up when it fails; `None` where it
    /// cannot be made to.
    pub fn that_fails(size: &str) -> Option<Self> {
        let disk = Self::kept(EXT4, size)?;
        if fs::File::options().write(true).open(disk.trigger()).is_ok() {
            return Some(disk);
        }
        println!("NOT CHECKED: a disk that fails needs /sys/fs/ext4, to be written");
        None
    }

    fn kept(script: &str, size: &str) -> Option<Self> {
        let (folder, image) = (tempfile::tempdir().ok()?, tempfile::tempdir().ok()?);
        let mut keeper = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh"])
            .arg(folder.path())
            .arg(size)
            .arg(image.path().join("disk"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let told = BufReader::new(keeper.stdout.take()?).read_line(&mut line);
        let disk = Self { keeper, folder, _image: image };
        if told.is_ok() && line == "ready\n" {
            return Some(disk);
        }
        println!("NOT CHECKED: mounting a disk of a test needs root, unshare and mount");
        None
    }

    /// A path on it, as everybody can open it.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(self.folder.path().strip_prefix("/").expect("absolute")).join(name)
    }

    /// Where it is mounted, for whoever sees it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that sees it.
    fn seen_by(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.keeper.id().to_string(), "-m", "--", "sh", "-c"]);
        command.args(["cd \"$0\" && exec \"$@\""]).arg(self.folder.path()).arg(program);
        command
    }

    pub fn sh(&self, script: &str) {
        let mut command = self.seen_by("sh");
        assert!(command.args(["-c", script]).status().expect("a shell").success(), "{script}");
    }

    /// The program, with its data on it.
    pub fn program(&self) -> Command {
        let mut command = self.seen_by(gatelodge().get_program());
        command.envs(cheap());
        command
    }

    pub fn serve(&self, environment: &[(&str, &str)]) -> Server {
        Server::run(self.program(), environment)
    }

    /// The kernel finds a fault and lets nothing be written any more.
    pub fn fail(&self) {
        fs::write(self.trigger(), "1").expect("a fault");
    }

    fn trigger(&self) -> String {
        let mounts = fs::read_to_string(format!("/proc/{}/mounts", self.keeper.id()));
        let mounts = mounts.expect("mounts");
        let here = format!(" {} ", self.folder.path().display());
        let line = mounts.lines().find(|line| line.contains(&here)).expect("mounted");
        let device = line.split(' ').next().expect("a device").trim_start_matches("/dev/");
        format!("/sys/fs/ext4/{device}/trigger_fs_error")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
