export { type ConsoleChannel, type ConsoleOptions, createConsoleChannel } from "./console-channel.ts";
