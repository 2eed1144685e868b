/**
 * Which system calls a sandbox may make: the one source of the engines' profile and of the OCI runtime's, both checked in beside it.
 * `node security/policies/seccomp.ts && make format FIX=1` writes them.
 *
 * What is not named is answered with ENOSYS, the answer of a kernel that never heard of it: C libraries, Go and Node then fall back to
 * what they did before the call existed. EPERM would break them (glibc's threads, with clone3), and a new kernel's calls stay shut.
 * What is refused by name is answered with EPERM, so that people see that it is forbidden and not missing.
 * Only the machine's own call table is open: a program for 32-bit processors, or a call through their table, is killed.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** What the agent's tools are made of: Node, Python, git, shells, compilers. */
const ALLOWED = {
  "files and folders": `
    access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchdir fchmod
    fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate
    futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown
    lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open
    openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat
    rename renameat renameat2 rmdir sendfile setxattr setxattrat splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee
    truncate umask unlink unlinkat utime utimensat utimes write writev`,
  memory: `
    brk madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock munlockall
    munmap pkey_alloc pkey_free pkey_mprotect`,
  "processes and threads": `
    arch_prctl capget capset execve execveat exit exit_group fork get_robust_list getcpu getpgid getpgrp getpid getppid getpriority
    getrlimit getrusage getsid gettid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp set_robust_list set_tid_address setpgid setpriority setrlimit setsid sysinfo tgkill times tkill
    uname uretprobe vfork wait4 waitid`,
  "users, of which there is one": `
    getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid setresgid setresuid setreuid
    setuid`,
  "signals and time": `
    alarm clock_getres clock_gettime clock_nanosleep getitimer gettimeofday nanosleep pause rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack time timer_create timer_delete
    timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime`,
  "waiting and telling each other": `
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue futex_waitv futex_wait
    futex_wake mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink pipe pipe2 poll ppoll pselect6 select signalfd
    signalfd4`,
  "sockets, once there is one": `
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto setsockopt
    shutdown`,
  chance: "getrandom",
};

/**
 * By reason. As good as missing for programs, which have another way. Named, although what is not named is answered the same: Docker 20.10
 * has no default answer but EPERM.
 */
export const MISSING = {
  "its flags are in memory, where no filter sees them; clone's are not": "clone3",
  "System V's memory, semaphores and queues, which outlive whoever made them": `
    msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget`,
  "where in the machine memory lies": "get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node",
  "databases' own way to disks": "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit",
  "nothing we know asks for them": "memfd_secret process_mrelease remap_file_pages vmsplice",
};

/** By reason. A call the kernel would refuse for want of a capability is here all the same: a bug in its checks is then out of reach. */
export const REFUSED = {
  "namespaces: a new one brings back what was taken": "setns unshare",
  "what is mounted where": `
    chroot fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root umount2`,
  "other processes' memory and files": `
    kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace`,
  "files by handle, past every folder": "name_to_handle_at open_by_handle_at",
  "programs and traces in the kernel": "bpf perf_event_open",
  "work the kernel does behind a filter's back, or at the caller's pace": "io_uring_enter io_uring_register io_uring_setup userfaultfd",
  "the kernel's keys": "add_key keyctl request_key",
  "watching every file of the machine": "fanotify_init fanotify_mark",
  "the kernel itself": `
    delete_module finit_module init_module kexec_file_load kexec_load reboot syslog`,
  "the machine's clock, name, disks and accounts": `
    acct adjtimex clock_adjtime clock_settime quotactl quotactl_fd setdomainname sethostname settimeofday swapoff swapon`,
  "hardware and consoles": "ioperm iopl modify_ldt vhangup",
};

interface Condition {
  readonly index: number;
  /** With SCMP_CMP_MASKED_EQ the mask, and `valueTwo` what must be left under it. */
  readonly value: number;
  readonly valueTwo: number;
  readonly op: "SCMP_CMP_EQ" | "SCMP_CMP_GT" | "SCMP_CMP_MASKED_EQ";
}

interface Rule {
  readonly names: readonly string[];
  readonly action: "SCMP_ACT_ALLOW" | "SCMP_ACT_ERRNO";
  readonly errnoRet?: number;
  /** All must hold. */
  readonly args?: readonly Condition[];
}

const INT = 0xffff_ffff;
/** The type of a socket without SOCK_CLOEXEC and SOCK_NONBLOCK. */
const TYPE = 0xf;
const FAMILY = { unix: 1, inet: 2, inet6: 10, netlink: 16 };
const STREAM = 1;
const DATAGRAM = 2;
const RAW = 3;
const SEQUENCED = 5;
const TCP = 6;
const UDP = 17;
const NETLINK_ROUTE = 0;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000;
/** PER_LINUX, and the question which one it is. */
const PERSONALITIES = [0, INT];

function is(index: number, mask: number, value: number): Condition {
  return { index, value: mask, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" };
}

function allow(name: string, ...args: readonly Condition[]): Rule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args };
}

/** The kernel reads a socket's arguments as 32-bit numbers, so here they are compared as such. */
function socket(family: number, type: number, protocol?: number): Rule {
  const of = protocol === undefined ? [] : [is(2, INT, protocol)];
  return allow("socket", is(0, INT, family), is(1, TYPE, type), ...of);
}

/** TCP and UDP, to where the sandbox's own loopback is: no raw packets, no ping, no protocol nobody asked for. */
function internet(family: number): readonly Rule[] {
  return [
    ...[0, TCP].map((protocol) => socket(family, STREAM, protocol)),
    ...[0, UDP].map((protocol) => socket(family, DATAGRAM, protocol)),
    { names: ["socket"], action: "SCMP_ACT_ERRNO", errnoRet: EPERM, args: [is(0, INT, family), is(1, TYPE, RAW)] },
  ];
}

const SYSCALLS: readonly Rule[] = [
  { names: words(ALLOWED), action: "SCMP_ACT_ALLOW" },
  { names: words(REFUSED), action: "SCMP_ACT_ERRNO", errnoRet: EPERM },
  { names: words(MISSING), action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
  allow("clone", is(0, NEW_NAMESPACES, 0)),
  ...PERSONALITIES.map((value) => allow("personality", { index: 0, value, valueTwo: 0, op: "SCMP_CMP_EQ" })),
  allow("socketpair", is(0, INT, FAMILY.unix)),
  ...[STREAM, DATAGRAM, SEQUENCED].map((type) => socket(FAMILY.unix, type)),
  ...internet(FAMILY.inet),
  ...internet(FAMILY.inet6),
  // Which interfaces there are is asked this way.
  ...[RAW, DATAGRAM].map((type) => socket(FAMILY.netlink, type, NETLINK_ROUTE)),
  // Packets, the kernel's ciphers, virtual machines' sockets and all families after them.
  {
    names: ["socket"],
    action: "SCMP_ACT_ERRNO",
    errnoRet: EAFNOSUPPORT,
    args: [{ index: 0, value: FAMILY.netlink, valueTwo: 0, op: "SCMP_CMP_GT" }],
  },
];

const ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"];
const COMMON = { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: ENOSYS };

export const PROFILES = {
  /** As Docker and Podman read it. */
  "seccomp.docker.json": {
    ...COMMON,
    archMap: ARCHITECTURES.map((architecture) => ({ architecture, subArchitectures: [] })),
    syscalls: SYSCALLS,
  },
  /** As `linux.seccomp` of an OCI bundle. */
  "seccomp.oci.json": { ...COMMON, architectures: ARCHITECTURES, syscalls: SYSCALLS },
};

function words(groups: Readonly<Record<string, string>>): readonly string[] {
  return Object.values(groups)
    .flatMap((group) => group.trim().split(/\s+/))
    .toSorted();
}

if (import.meta.main) {
  for (const [name, profile] of Object.entries(PROFILES)) {
    writeFileSync(join(import.meta.dirname, name), `${JSON.stringify(profile, undefined, 2)}\n`);
  }
}
