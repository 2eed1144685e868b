/** Privileges: from a command in a sandbox to more than its user may, on the machine's kernel. */
import type { Attack } from "./attack.ts";
import { python } from "./python.ts";

function command(id: string, tried: string, body: string): Attack {
  return { id: `privilege.${id}`, family: "privilege", tried, way: { kind: "command", command: () => python(body) } };
}

export const PRIVILEGE: readonly Attack[] = [
  command(
    "setuid-programs",
    "looks for programs that run as another user or with capabilities, and runs them",
    `
found = subprocess.run(["find", "/", "-xdev", "-type", "f", "-perm", "/6000"], capture_output=True, text=True).stdout.split()
with_capabilities = []
for folder in ("/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/lib"):
    for path in glob.glob(folder + "/*"):
        try: os.getxattr(path, "security.capability"); with_capabilities.append(path)
        except OSError: pass
made = "/tmp/setuid-copy"
subprocess.run(["cp", "/usr/bin/id", made]); os.chmod(made, 0o6755)
own = subprocess.run([made, "-u"], capture_output=True, text=True).stdout.strip()
if own == "0" or with_capabilities: passed(f"{own} {with_capabilities}")
for path in found: tries(path, lambda: "root" if "Uid:\\t" in subprocess.run([path], capture_output=True, text=True, timeout=2).stdout else None)
stopped(f"{len(found)} such programs in the image, no-new-privileges {[line.split()[1] for line in open('/proc/self/status') if line.startswith('NoNewPrivs')][0]}")`,
  ),
  command(
    "become-root",
    "becomes root by setuid, setgid, setgroups",
    `
tries("setuid", lambda: os.setuid(0) or "root")
tries("setgid", lambda: os.setgid(0) or "root")
tries("setgroups", lambda: os.setgroups([0]) or "root")
tries("setresuid", lambda: os.setresuid(0, 0, 0) or "root")
passed("it is root") if os.getuid() == 0 or os.geteuid() == 0 else end(f"it is {os.getuid()}: ")`,
  ),
  command(
    "capabilities",
    "looks for capabilities to use, keep or regain",
    `
sets = {line.split()[0]: line.split()[1] for line in open("/proc/self/status") if line.startswith(("Cap", "NoNewPrivs", "Seccomp:"))}
gone = all(int(value, 16) == 0 for key, value in sets.items() if key.startswith("Cap"))
if not gone or sets["NoNewPrivs:"] != "1": passed(str(sets))
tries("ambient", lambda: None if libc.prctl(47, 2, 21, 0, 0) != 0 else "raised")
tries("securebits", lambda: None if libc.prctl(28, 1) != 0 else "set")
end("all five sets are empty; ")`,
  ),
  command(
    "namespaces",
    "makes namespaces of its own: user, mount, network, all at once",
    `
for label, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000), ("uts", 0x4000000), ("ipc", 0x8000000), ("cgroup", 0x2000000), ("time", 0x80)):
    SEEN.append(label); kernel("unshare", flag)
kernel("clone", 0x10000000 | 17, 0, 0, 0, 0)
kernel("clone3", 0, 0)
kernel("setns", 0, 0)
end()`,
  ),
  command(
    "unshare-program",
    "runs unshare and nsenter as a shell user would",
    `
for line in ("unshare -Ur id -u", "unshare -n true", "nsenter -t 1 -m true", "chroot / true"):
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    if done.returncode == 0: passed(line + ": " + done.stdout)
    SEEN.append(f"{line}: {done.stderr.strip()[-60:]}")
end()`,
  ),
  command(
    "mount",
    "mounts: proc, a host device, a bind of the root, with the old calls and the new",
    `
kernel("mount", b"none\\0", b"/tmp\\0", b"tmpfs\\0", 0, 0)
kernel("mount", b"/\\0", b"/tmp\\0", 0, 4096, 0)
kernel("mount", b"none\\0", b"/\\0", 0, 32, 0)
kernel("umount2", b"/proc\\0", 2)
kernel("fsopen", b"ext4\\0", 0)
kernel("open_tree", ctypes.c_ulong(-100 & 0xffffffffffffffff).value, b"/\\0", 1)
kernel("move_mount", 0, b"\\0", 0, b"\\0", 0)
kernel("pivot_root", b"/tmp\\0", b"/tmp\\0")
tries("chroot", lambda: os.chroot("/tmp") or "changed")
end()`,
  ),
  command(
    "device-nodes",
    "makes device nodes for memory and disks, and opens the host's",
    `
for name, mode, major, minor in (("mem", stat.S_IFCHR, 1, 1), ("kmsg", stat.S_IFCHR, 1, 11), ("disk", stat.S_IFBLK, 8, 0), ("loop", stat.S_IFBLK, 7, 0)):
    for folder in ("/tmp", "/workspace/group", "/dev/shm"):
        tries(f"{folder}/{name}", lambda: os.mknod(f"{folder}/{name}", mode | 0o666, os.makedev(major, minor)) or "made")
for path in ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/nvme0n1", "/dev/mmcblk0", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/vhost-net", "/dev/loop-control", "/dev/mapper/control"):
    tries(path, lambda: os.open(path, os.O_RDONLY))
end()`,
  ),
  command(
    "ptrace",
    "traces and reads other processes: the runner, the first process",
    `
parent = os.getppid()
for pid in (1, parent):
    kernel("ptrace", 16, pid, 0, 0)
    kernel("process_vm_readv", pid, 0, 0, 0, 0, 0)
    kernel("process_vm_writev", pid, 0, 0, 0, 0, 0)
kernel("pidfd_getfd", 0, 0, 0)
end()`,
  ),
  command("bpf", "loads a program into the kernel by bpf", 'kernel("bpf", 0, 0, 0)\nkernel("bpf", 5, 0, 0)\nend()'),
  command("perf", "opens the kernel's performance events", 'kernel("perf_event_open", 0, 0, 0, 0, 0)\nend()'),
  command("io-uring", "sets up io_uring", 'kernel("io_uring_setup", 8, 0)\nend()'),
  command("userfaultfd", "takes over its own page faults, the tool of many kernel exploits", 'kernel("userfaultfd", 0)\nend()'),
  command(
    "keyring",
    "uses the kernel's keyrings",
    'kernel("add_key", b"user\\0", b"x\\0", b"y\\0", 1, -3 & 0xffffffff)\nkernel("keyctl", 0, 0, 0)\nend()',
  ),
  command(
    "kexec",
    "boots another kernel, or reboots",
    'kernel("kexec_load", 0, 0, 0, 0)\nkernel("kexec_file_load", 0, 0, 0, 0, 0)\nkernel("reboot", 0xfee1dead, 672274793, 0, 0)\nend()',
  ),
  command("modules", "loads a kernel module", 'kernel("init_module", 0, 0, b"\\0")\nkernel("finit_module", 0, b"\\0", 0)\nend()'),
  command(
    "file-handles",
    "opens files of the host by their handle (Shocker)",
    'kernel("name_to_handle_at", 0, b"/\\0", 0, 0, 0)\nkernel("open_by_handle_at", 0, 0, 0)\nend()',
  ),
  command(
    "kernel-log",
    "reads the kernel's log",
    'kernel("syslog", 3, 0, 0)\ntries("/proc/kmsg", lambda: os.open("/proc/kmsg", os.O_RDONLY | os.O_NONBLOCK))\nend()',
  ),
  command("personality", "turns off address randomisation", 'kernel("personality", 0x0040000)\nend()'),
  command(
    "proc-writes",
    "writes the kernel's switches: sysrq, core_pattern, hostname, memory, binfmt",
    `
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/modprobe",
             "/proc/sys/fs/binfmt_misc/register", "/proc/kcore", "/proc/timer_list", "/proc/sys/net/ipv4/ip_forward", "/proc/scsi/scsi", "/proc/acpi/wakeup"):
    def work():
        # Engines put /dev/null over what they hide.
        with open(path, "r+b", buffering=0) as file: return None if os.fstat(file.fileno()).st_rdev == os.makedev(1, 3) else "opened for writing"
    tries(path, work)
def last():
    with open("/proc/self/oom_score_adj", "w") as file: file.write("-1000")
    return "written"
tries("be killed last", last)
tries("kcore", lambda: open("/proc/kcore", "rb").read(10) or None)
end()`,
  ),
  command(
    "sys-writes",
    "writes to /sys: uevent helper, firmware, power, security",
    `
for path in ("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/firmware/efi/efivars", "/sys/class/firmware/timeout", "/sys/kernel/security/apparmor/.remove", "/sys/module/kernel/parameters/panic", "/sys/fs/cgroup/x"):
    def work():
        with open(path, "w") as file: return "opened for writing"
    tries(path, work)
end()`,
  ),
  command(
    "cgroup-escape",
    "leaves its cgroup: release_agent, another group's tasks, limits raised",
    `
for path in glob.glob("/sys/fs/cgroup/*") + ["/sys/fs/cgroup"]:
    for name in ("release_agent", "notify_on_release", "cgroup.procs", "tasks", "memory.limit_in_bytes", "memory.max", "pids.max", "devices.allow", "cpu.max"):
        def work():
            with open(f"{path}/{name}", "w") as file: file.write("0"); return "written"
        if os.path.exists(f"{path}/{name}"): tries(f"{path}/{name}", work)
    tries(f"mkdir in {path}", lambda: os.mkdir(path + "/escape") or "made")
end()`,
  ),
  command(
    "terminal-injection",
    "types into a terminal (TIOCSTI, TIOCLINUX)",
    `
import fcntl
for path in ("/dev/tty", "/dev/console", "/dev/pts/0", "/dev/stdin"):
    def work():
        with open(path, "rb+", buffering=0) as file:
            fcntl.ioctl(file, 0x5412, b"x"); return "typed"
    tries(path, work)
master, slave = os.openpty()
tries("own terminal", lambda: fcntl.ioctl(slave, 0x5412, b"x"))
end()`,
  ),
  command(
    "root-file-system",
    "writes to the root file system, its programs and its runner",
    `
for path in ("/x", "/etc/passwd", "/usr/bin/python3", "/opt/hermit/runner.cjs", "/usr/local/bin/node", "/var/x", "/run/x", "/root/x", "/home/x", "/var/tmp/x", "/etc/ld.so.preload"):
    def work():
        with open(path, "ab") as file: return "opened for writing"
    tries(path, work)
end()`,
  ),
  {
    id: "privilege.control-ordinary-work",
    family: "privilege",
    isControl: true,
    tried: "does ordinary work: git, a pipe, a thread, a file with its mode",
    way: {
      kind: "command",
      command: () =>
        python(`
done = subprocess.run(["bash", "-c", "cd /tmp && rm -rf w && git init -q w && cd w && echo a > b && chmod 700 b && git add b && cat b | tr a z"], capture_output=True, text=True)
stopped("git, pipes and modes work") if done.stdout == "z\\n" else passed(done.stderr)`),
    },
  },
];
