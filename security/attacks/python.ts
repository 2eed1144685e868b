/** What attacks written in Python share: they say what became of each thing they tried, and end with one word on the whole. */

/** Number of a call on x64 and on arm64, by its name. */
const CALLS = {
  ptrace: [101, 117],
  syslog: [103, 116],
  personality: [135, 92],
  pivot_root: [155, 41],
  mount: [165, 40],
  umount2: [166, 39],
  reboot: [169, 142],
  kexec_load: [246, 104],
  init_module: [175, 105],
  finit_module: [313, 273],
  add_key: [248, 217],
  keyctl: [250, 219],
  unshare: [272, 97],
  perf_event_open: [298, 241],
  name_to_handle_at: [303, 264],
  open_by_handle_at: [304, 265],
  setns: [308, 268],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  kexec_file_load: [320, 294],
  bpf: [321, 280],
  userfaultfd: [323, 282],
  io_uring_setup: [425, 425],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  clone3: [435, 435],
  pidfd_getfd: [438, 438],
  clone: [56, 220],
} as const;

const PRELUDE = `
import ctypes, errno, glob, os, platform, socket, stat, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
CALLS = ${JSON.stringify(CALLS)}
SEEN = []
def stopped(by):
    print("STOPPED " + by, flush=True); os._exit(0)
def passed(what):
    print("PASSED " + what, flush=True); os._exit(0)
def named(number):
    return errno.errorcode.get(number, str(number))
def tries(label, work):
    """What works and gives anything but None has passed."""
    try:
        result = work()
    except OSError as error:
        SEEN.append(f"{label}: {named(error.errno) if isinstance(error.errno, int) and error.errno > 0 else error}")
    except Exception as error:
        SEEN.append(f"{label}: {type(error).__name__}")
    else:
        if result is not None: passed(f"{label}: {str(result)[:200]}")
        SEEN.append(f"{label}: nothing there")
def end(reason=""):
    stopped(reason + ", ".join(SEEN))
def kernel(name, *arguments):
    """A call of the kernel; one that is refused for what it is, and not for what it was given, is stopped."""
    ctypes.set_errno(0)
    words = [word if isinstance(word, bytes) else ctypes.c_ulong(word) for word in (list(arguments) + [0] * 6)[:6]]
    done = libc.syscall(ctypes.c_long(CALLS[name][0 if platform.machine() == "x86_64" else 1]), *words)
    code = named(ctypes.get_errno()) if done == -1 else "done"
    if code not in ("EPERM", "ENOSYS", "EACCES"): passed(f"{name}: the kernel took it ({code})")
    SEEN.append(f"{name}: {code}")
def forwarder():
    host, port = os.environ["HTTP_PROXY"].removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 10)
def read(connection, seconds=6):
    connection.settimeout(seconds)
    data = b""
    try:
        while len(data) < 200000:
            piece = connection.recv(65536)
            if not piece: break
            data += piece
            if b"\\r\\n\\r\\n" in data and seconds < 6: break
    except OSError: pass
    return data.decode("latin1")
def ask(raw):
    """Raw bytes to the forwarder; everything it answers, until it closes."""
    with forwarder() as connection:
        connection.sendall(raw if isinstance(raw, bytes) else raw.encode("latin1"))
        return read(connection, 3)
def first(answer):
    lines = answer.strip().split("\\r\\n")
    return (lines[0] + (" " + answer.split("\\r\\n\\r\\n", 1)[1].strip() if "\\r\\n\\r\\n" in answer else "")).replace("\\n", " ")[:160]
def refused(label, raw):
    answer = ask(raw)
    status = answer.split(" ")[1] if answer.startswith("HTTP/") else "closed"
    if status != "closed" and status[0] not in "45": passed(f"{label}: {first(answer)}")
    SEEN.append(f"{label}: {first(answer) or 'closed'}")
`;

export function python(body: string): string {
  return `python3 - <<'ATTACK'\n${PRELUDE}\n${body.trim()}\nATTACK`;
}
