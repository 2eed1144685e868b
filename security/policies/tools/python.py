# What Python can do that asks the kernel for something unusual.
import asyncio
import concurrent.futures
import multiprocessing
import multiprocessing.shared_memory
import socket
import sqlite3
import ssl
import subprocess
import zoneinfo


def double(value):
    return 2 * value


async def say():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()


if __name__ == "__main__":
    print(subprocess.run(["echo", "sub"], capture_output=True, text=True).stdout.strip())
    with multiprocessing.Pool(2) as pool:
        print(pool.map(double, [1, 2]))
    queue = multiprocessing.Queue()
    worker = multiprocessing.Process(target=queue.put, args=("queued",))
    worker.start()
    print(queue.get())
    worker.join()
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=16)
    memory.buf[0] = 7
    print("shared", memory.buf[0])
    memory.close()
    memory.unlink()
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        print(list(threads.map(double, [3])))
    print(asyncio.run(say()))
    with sqlite3.connect("/tmp/python.db") as db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table t(x)")
        db.execute("insert into t values (7)")
        print(db.execute("select x from t").fetchone())
    print(ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED, zoneinfo.ZoneInfo("Asia/Tokyo").key, socket.gethostname())
