/** What the checks of the lockfile pass over, by name, with the reason. One that is needed no more is found too. */

/**
 * Packages of systems Hermit is not developed on: the registry mirror the lockfile was made with does not carry them, so their integrity
 * and their licence are not known (runner-image/build/complete-lock.ts). `npm ci` never fetches them on Linux with glibc on x64 or arm64.
 */
const OTHER_SYSTEMS = {
  "@biomejs/cli": "android-arm64 android-x64 darwin-arm64 darwin-x64 linux-arm64-musl linux-x64-musl win32-arm64 win32-x64",
  "@oxc-parser/binding": `
    android-arm-eabi android-arm64 darwin-arm64 darwin-x64 freebsd-x64 linux-arm-gnueabihf linux-arm-musleabihf linux-ppc64-gnu
    linux-riscv64-gnu linux-riscv64-musl linux-s390x-gnu openharmony-arm64 win32-arm64-msvc win32-ia32-msvc win32-x64-msvc`,
  "@oxlint/binding": `
    android-arm-eabi android-arm64 darwin-arm64 darwin-x64 freebsd-x64 linux-arm-gnueabihf linux-arm-musleabihf linux-arm64-musl
    linux-ppc64-gnu linux-riscv64-gnu linux-riscv64-musl linux-s390x-gnu linux-x64-musl openharmony-arm64 win32-arm64-msvc
    win32-ia32-msvc win32-x64-msvc`,
  "@oxlint-tsgolint/": "darwin-arm64 darwin-x64 win32-arm64 win32-x64",
};

export interface Exceptions {
  readonly otherSystems: readonly string[];
  /** Package → its licence, where its manifest names none the lockfile repeats. */
  readonly licences: Readonly<Record<string, string>>;
  /** Packages with an install script, which never runs: `.npmrc` turns all of them off. */
  readonly installScripts: readonly string[];
}

export const EXCEPTIONS: Exceptions = {
  otherSystems: Object.entries(OTHER_SYSTEMS).flatMap(([family, systems]) =>
    systems
      .trim()
      .split(/\s+/)
      .map((system) => (family.endsWith("/") ? family + system : `${family}-${system}`)),
  ),
  // All three name MIT in a field that npm no longer reads (`licenses`).
  licences: { buildcheck: "MIT", "cpu-features": "MIT", ssh2: "MIT" },
  installScripts: [
    // Both would compile something for connections over SSH, which are stubbed out of our bundles.
    "cpu-features",
    "ssh2",
    // Looks whether its platform package is there.
    "esbuild",
    // Warns about version ranges.
    "protobufjs",
  ],
};
