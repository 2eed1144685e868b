/** Put in by the bundler from package.json; a run from source says so. */
declare const HERMIT_VERSION: string | undefined;
export const VERSION = typeof HERMIT_VERSION === "string" ? HERMIT_VERSION : "source";
