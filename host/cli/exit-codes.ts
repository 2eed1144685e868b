/** Exit codes of `hermit`: 0 done, 1 something failed, 2 wrong usage or configuration. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
