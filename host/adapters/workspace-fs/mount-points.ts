/** Where file systems are mounted, by the kernel's own list. */
import { readFileSync } from "node:fs";

/** Whether anything is mounted below a resolved path, so that the folder shows more than itself. True where nobody can tell. */
export function hasMountBelow(folder: string, list = "/proc/self/mountinfo"): boolean {
  const prefix = folder.endsWith("/") ? folder : `${folder}/`;
  try {
    return readFileSync(list, "utf8")
      .split("\n")
      .some((line) => unescaped(line.split(" ")[4] ?? "").startsWith(prefix));
  } catch {
    return true;
  }
}

/** Space, tab, newline and backslash stand there as three octal digits. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
